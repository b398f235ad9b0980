//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// own sets that the process will be started in a new process group, to which its
// children will belong, too.
func own(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// end kills all processes of the command's process group.
func end(cmd *exec.Cmd) { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
