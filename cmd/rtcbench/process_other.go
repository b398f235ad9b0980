//go:build !unix

package main

import (
	"os"
	"time"
)

// cpuTime returns 0: the processor time is not known on this system.
func cpuTime() time.Duration { return 0 }

// needFiles returns nil: the limit is not known on this system.
func needFiles(n int) error { return nil }

func standardInput() *os.File { return os.Stdin }
