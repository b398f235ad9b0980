// Command dtlsshim is the program through which BoringSSL's test runner tests package
// dtls. The runner's PORTING.md describes such a program and calls it a shim. The
// runner starts it once for each test, with flags that say what to do. The runner
// itself is the peer.
//
// The exit status is 0 if everything happened as the flags expect, 1 if it did not,
// and 89 if the shim does not support a flag. With status 1, the reason is written to
// stderr. There the runner looks for the errors to which config.json maps the runner's
// error names.
package main

import (
	"errors"
	"fmt"
	"os"
)

// exitUnimplemented is the exit status for a test that the shim does not support.
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
