//go:build !unix

package main

import (
	"os"
	"time"
)

// cpuTime is unknown on this system.
func cpuTime() time.Duration { return 0 }

// needFiles does not know the limit on this system.
func needFiles(n int) error { return nil }

func standardInput() *os.File { return os.Stdin }
