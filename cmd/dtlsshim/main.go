// Command dtlsshim lets BoringSSL's test runner test package dtls: it is the shim that the
// runner's PORTING.md describes. The runner starts it once for each test, with flags that
// say what to do, and is the peer itself.
//
// It exits with 0 if all went as the flags expect, with 1 if not (the reason is on stderr,
// where the runner looks for the errors to which config.json maps its own names), and with
// 89 if it does not support a flag.
package main

import (
	"errors"
	"fmt"
	"os"
)

// exitUnimplemented is the exit status for a test that the shim cannot run.
const exitUnimplemented = 89

func main() {
	err := run(os.Args[1:])
	if errors.Is(err, errHandshaker) {
		return
	}
	if errors.Is(err, errUnimplemented) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitUnimplemented)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
