// Command references counts, in each package, the references between files that run
// up: against the order of files that has the fewest. A package whose files refer to
// each other in circles cannot be read from one end to the other.
//
//	go run ./.ci/references [-v] [-most PERCENT] ./...
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A listed is a package as go list describes it.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	DepOnly                 bool
	Standard                bool
}

func main() {
	most := flag.Float64("most", 100, "fail if a package has a larger share, in per cent")
	verbose := flag.Bool("v", false, "print the order of files")
	flag.Parse()
	high, err := run(os.Stdout, flag.Args(), *most, *verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, "references:", err)
		os.Exit(1)
	}
	if high {
		os.Exit(1)
	}
}

func run(w io.Writer, patterns []string, most float64, verbose bool) (high bool, err error) {
	packages, err := list(patterns)
	if err != nil {
		return false, err
	}
	exports := map[string]string{}
	for _, p := range packages {
		exports[p.ImportPath] = p.Export
	}
	for _, p := range packages {
		if p.DepOnly || p.Standard || len(p.GoFiles) < 2 {
			continue
		}
		refs, err := references(p, exports)
		if err != nil {
			return false, fmt.Errorf("%s: %w", p.ImportPath, err)
		}
		order, up, all := bestOrder(refs)
		if all == 0 {
			continue
		}
		share := 100 * float64(up) / float64(all)
		fmt.Fprintf(w, "%-36s %3d files %5d references between them %5.1f %% up\n", p.ImportPath, len(order), all, share)
		if verbose {
			fmt.Fprintln(w, "    "+strings.Join(order, " "))
		}
		high = high || share > most
	}
	return high, nil
}

// list returns the packages, and their dependencies with export data.
func list(patterns []string) (packages []listed, err error) {
	cmd := exec.Command("go", append([]string{"list", "-deps", "-export", "-json=ImportPath,Dir,Export,GoFiles,DepOnly,Standard"}, patterns...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
}

// references counts the references from each file of a package to each other.
func references(p listed, exports map[string]string) (map[string]map[string]int, error) {
	set := token.NewFileSet()
	var files []*ast.File
	refs := map[string]map[string]int{}
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
		if name != "doc.go" {
			refs[name] = map[string]int{}
		}
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(set, "gc", open)}
	checked, err := config.Check(p.ImportPath, set, files, info)
	if err != nil {
		return nil, err
	}
	for id, object := range info.Uses {
		if object.Pkg() != checked {
			continue
		}
		from, to := filepath.Base(set.Position(id.Pos()).Filename), filepath.Base(set.Position(object.Pos()).Filename)
		if from != to && refs[from] != nil && refs[to] != nil {
			refs[from][to]++
		}
	}
	return refs, nil
}

// bestOrder returns an order of files, the uppermost first, in which few references
// run up, and how many do. Each file in turn moves to its best place until no move
// helps.
func bestOrder(refs map[string]map[string]int) (order []string, up, all int) {
	for name := range refs {
		order = append(order, name)
	}
	slices.Sort(order)
	for better := true; better; {
		better = false
		for _, name := range slices.Clone(order) {
			i := slices.Index(order, name)
			rest := slices.Delete(slices.Clone(order), i, i+1)
			// Cost of name at place k: references from it to files above, and to it from
			// files below.
			cost := 0
			for _, other := range rest {
				cost += refs[other][name] // at place 0, all are below
			}
			best, bestCost := 0, cost
			present := cost
			for k, other := range rest {
				cost += refs[name][other] - refs[other][name]
				if cost < bestCost {
					best, bestCost = k+1, cost
				}
				if k+1 == i {
					present = cost
				}
			}
			if bestCost < present {
				order, better = slices.Insert(rest, best, name), true
			}
		}
	}
	for i, from := range order {
		for j, to := range order {
			if all += refs[from][to]; j < i {
				up += refs[from][to]
			}
		}
	}
	return order, up, all
}
