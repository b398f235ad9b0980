package rtcpeer

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// imports lists the packages of the module that each package may import. A package may
// also import its own internal packages. Packages below cmd may import all packages.
var imports = map[string][]string{
	"sdp":                        {},
	"stun":                       {},
	"dtls":                       {},
	"dtls/dtlsnet":               {"dtls"},
	"sctp":                       {},
	"datachannel":                {"sctp"},
	"ice":                        {"stun"},
	"rtcpeer":                    {"sdp", "stun", "dtls", "dtls/dtlsnet", "sctp", "datachannel", "ice"},
	"rtcpeer/internal/udpmux":    {"ice", "stun"},
	"rtcpeer/internal/streammux": {"ice"},
	"rtcpeer/internal/tcpmux":    {"ice", "stun"},
	"rtcpeer/internal/simnet":    {},
}

// outside lists the packages that may be imported from outside the standard library.
var outside = []string{"golang.org/x/crypto", "golang.org/x/net"}

// isCore reports whether a file is part of a pure state machine. dtlsnet runs
// one over a net.PacketConn.
func isCore(dir, file string) bool {
	switch root, _, _ := strings.Cut(dir, "/"); root {
	case "sdp", "stun", "sctp", "datachannel", "ice":
		return true
	case "dtls":
		return dir != "dtls/dtlsnet"
	}
	return false
}

// impure lists packages that a core must not import, and impureCalls lists functions
// of other packages that it must not call.
var (
	impure      = []string{"sync", "sync/atomic", "context", "os", "syscall", "unsafe", "net/http", "io/ioutil", "os/signal", "log"}
	impureCalls = map[string][]string{
		"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"},
		"net":  {"Dial", "Listen", "ListenUDP", "ListenPacket", "DialUDP", "Interfaces", "LookupHost", "LookupIP", "DefaultResolver", "ResolveUDPAddr"},
		"rand": {"Int", "IntN", "Uint32", "Uint64", "Float64", "Perm", "Shuffle"}, // the global random source of math/rand
	}
)

// TestArchitecture parses the source. It checks rule 1 of the cores, and the
// directions of imports.
func TestArchitecture(t *testing.T) {
	const root = ".."
	files, cores := 0, 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := e.Name()
		if e.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(rel))
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files++
		test := strings.HasSuffix(name, "_test.go")
		for _, problem := range importProblems(dir, f, test) {
			t.Errorf("%s: %s", rel, problem)
		}
		if !test && isCore(dir, name) {
			cores++
			for _, problem := range impurities(set, f) {
				t.Errorf("%s", problem)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 || cores < 60 {
		t.Errorf("only %d files, %d of cores, were found", files, cores)
	}
}

// importProblems lists the forbidden imports of a file of dir. Tests may import more
// packages, but no layer above their own.
func importProblems(dir string, f *ast.File, test bool) (problems []string) {
	if strings.HasPrefix(dir, "cmd") || strings.Contains(dir, "/nested") {
		return nil
	}
	allowed, known := imports[dir]
	for _, spec := range f.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		inner, ours := strings.CutPrefix(path, "purertc/")
		first, _, _ := strings.Cut(path, "/")
		switch {
		case !ours && !strings.Contains(first, "."): // the standard library
		case !ours && slices.ContainsFunc(outside, func(o string) bool { return strings.HasPrefix(path, o+"/") }):
		case !ours && test && strings.HasPrefix(path, "github.com/google/go-cmp/"):
		case !ours:
			problems = append(problems, "imports "+path)
		case strings.Contains(inner, "internal/"): // the compiler enforces this rule
		case inner == dir: // an external test imports its own package
		case known && slices.Contains(allowed, inner):
		case !known && inner != "rtcpeer": // internal and nested packages
		case test && inner != "rtcpeer" && !strings.HasPrefix(inner, "cmd"):
		case strings.HasPrefix(dir, "rtcpeer"):
		default:
			problems = append(problems, "imports "+path)
		}
	}
	return problems
}

// impurities lists the violations of rule 1 in a file.
func impurities(set *token.FileSet, f *ast.File) (problems []string) {
	report := func(n ast.Node, what string) {
		problems = append(problems, set.Position(n.Pos()).String()+": a core has "+what)
	}
	for _, spec := range f.Imports {
		if path, _ := strconv.Unquote(spec.Path.Value); slices.Contains(impure, path) {
			report(spec, "import "+path)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			report(n, "a go statement")
		case *ast.SelectStmt:
			report(n, "a select statement")
		case *ast.ChanType:
			report(n, "a channel")
		case *ast.SendStmt:
			report(n, "a send on a channel")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && slices.Contains(impureCalls[x.Name], n.Sel.Name) {
				report(n, x.Name+"."+n.Sel.Name)
			}
		}
		return true
	})
	for _, problem := range globals(f) {
		report(problem, "mutable state of its package")
	}
	return problems
}

// globals finds package variables that could change: all variables except errors,
// functions and those that are only read. A composite value is accepted if nothing in
// its file assigns to it.
func globals(f *ast.File) (found []ast.Node) {
	names := map[string]ast.Node{}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			for _, n := range v.Names {
				if n.Name != "_" {
					names[n.Name] = n
				}
			}
			if _, array := v.Type.(*ast.ArrayType); len(v.Values) == 0 && v.Names[0].Name != "_" && !array {
				found = append(found, v) // a variable without a value can only be meant to change; an array of zeros is only read
			}
		}
	}
	base := func(e ast.Expr) string {
		for {
			switch x := e.(type) {
			case *ast.IndexExpr:
				e = x.X
			case *ast.SelectorExpr:
				e = x.X
			case *ast.StarExpr:
				e = x.X
			case *ast.ParenExpr:
				e = x.X
			case *ast.Ident:
				return x.Name
			default:
				return ""
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, l := range n.Lhs {
				if names[base(l)] != nil && n.Tok != token.DEFINE {
					found = append(found, n)
				}
			}
		case *ast.IncDecStmt:
			if names[base(n.X)] != nil {
				found = append(found, n)
			}
		case *ast.UnaryExpr:
			if n.Op == token.AND && names[base(n.X)] != nil {
				found = append(found, n)
			}
		}
		return true
	})
	return found
}

// The test detects each kind of violation.
func TestArchitectureFinds(t *testing.T) {
	for source, want := range map[string]int{
		`import "sync"`: 1, `func f() { go f() }`: 1, `type t chan int`: 1, `func f() { select {} }`: 1,
		"import \"time\"\nvar _ = time.Now()": 1, `var counter int`: 1, "var table = []int{1}\nfunc f() { table[0] = 2 }": 1,
		"var m = map[int]int{}\nfunc f() { m[1]++ }": 1, "var x = 1\nfunc f() *int { return &x }": 1,
		"import \"errors\"\nvar errX = errors.New(\"x\")\nvar table = []int{1}\nfunc f() int { table := 1; return table }": 0,
	} {
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, "x.go", "package x\n"+source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := impurities(set, f); len(got) != want {
			t.Errorf("%q: %q, want %d problems", source, got, want)
		}
	}
	for dir, bad := range map[string]string{"sctp": "purertc/dtls", "ice": "purertc/dtls", "datachannel": "purertc/rtcpeer", "stun": "github.com/x/y", "sdp": "github.com/google/go-cmp/cmp"} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nimport "+strconv.Quote(bad), 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(importProblems(dir, f, false)) != 1 {
			t.Errorf("%s may import %s", dir, bad)
		}
	}
}
