// Command coverage reads a coverage profile, prints each package's share of
// statements that ran, and fails if one is below the least.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path"
	"sort"
	"strings"
)

// A block of statements, which a profile names once for each test binary.
type block struct {
	pkg        string
	statements int
	ran        bool
}

func main() {
	least := flag.Float64("least", 0, "the least share in per cent")
	skip := flag.String("skip", "", "leave out packages whose path has this in it")
	flag.Parse()
	f, err := os.Open(flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, "coverage:", err)
		os.Exit(2)
	}
	blocks := map[string]*block{}
	lines := bufio.NewScanner(f)
	lines.Scan() // mode:
	for lines.Scan() {
		// name.go:line.column,line.column statements count
		var at string
		var statements, count int
		if n, err := fmt.Sscan(lines.Text(), &at, &statements, &count); n != 3 || err != nil {
			fmt.Fprintf(os.Stderr, "coverage: %q: %v\n", lines.Text(), err)
			os.Exit(2)
		}
		b := blocks[at]
		if b == nil {
			b = &block{path.Dir(at[:strings.IndexByte(at, ':')]), statements, false}
			blocks[at] = b
		}
		b.ran = b.ran || count > 0
	}
	total, ran := map[string]int{}, map[string]int{}
	for _, b := range blocks {
		total[b.pkg] += b.statements
		if b.ran {
			ran[b.pkg] += b.statements
		}
	}
	var packages []string
	for p := range total {
		packages = append(packages, p)
	}
	sort.Strings(packages)
	ok := true
	for _, p := range packages {
		if *skip != "" && strings.Contains(p, *skip) {
			continue
		}
		share := 100 * float64(ran[p]) / float64(total[p])
		fmt.Printf("%6.1f %%  %s\n", share, p)
		ok = ok && share >= *least
	}
	if !ok {
		fmt.Printf("a package is below %.0f %%\n", *least)
		os.Exit(1)
	}
}
