// Command dtlsshim lets BoringSSL's test runner judge package dtls: it is
// what the runner's PORTING.md calls a shim. The runner starts it once for
// each test, with flags that say what to do, and is the far end itself.
//
// It ends with 0 if all went as the flags want, 1 if not (the reason is on
// stderr, where the runner looks for the errors that config.json maps its own
// names to), and 89 if it does not know a flag.
package main

import (
	"errors"
	"fmt"
	"os"
)

// exitUnimplemented tells the runner that a test cannot be run.
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
