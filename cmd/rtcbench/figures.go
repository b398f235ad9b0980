package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"time"
)

// figures are the measured values. The programs for other stacks use the same names
// for them.
type figures map[string]any

// A snapshot is the state of the process at one time.
type snapshot struct {
	at             time.Time
	cpu            time.Duration
	mallocs, bytes uint64
	gcs            uint32
}

func takeSnapshot() snapshot {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return snapshot{time.Now(), cpuTime(), m.Mallocs, m.TotalAlloc, m.NumGC}
}

// transferFigures adds the figures of a transfer to f and returns f. The transfer took
// place between the snapshots a and b. It consisted of n bytes in k messages.
func transferFigures(f figures, a, b snapshot, n, k float64) figures {
	sec := b.at.Sub(a.at).Seconds()
	cpu := (b.cpu - a.cpu).Seconds()
	f["sec"], f["cpu_s"], f["cpu_s_per_gb"], f["cpu_util"] = sec, cpu, cpu/(n/1e9), cpu/sec
	f["allocs_per_msg"], f["alloc_b_per_msg"] = float64(b.mallocs-a.mallocs)/max(k, 1), float64(b.bytes-a.bytes)/max(k, 1)
	f["gcs"], f["rss_peak_kb"] = b.gcs-a.gcs, statusKB("VmHWM")
	return f
}

// statusKB returns the number in the line of /proc/self/status that begins with key;
// 0: the system is not Linux.
func statusKB(key string) int {
	b, _ := os.ReadFile("/proc/self/status")
	for _, l := range strings.Split(string(b), "\n") {
		if rest, ok := strings.CutPrefix(l, key+":"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}

// percentile returns a percentile of values that are sorted.
func percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}

func sorted(v []float64) []float64 {
	sort.Float64s(v)
	return v
}

// A base is the state of the process before it has opened any connection.
type base struct{ heapAndStack, rss, goroutines int }

var idleBase base

func baseline() base { return base{heapAndStack(), statusKB("VmRSS"), runtime.NumGoroutine()} }

// heapAndStack returns the number of bytes of heap and stacks that are in use after a
// garbage collection.
func heapAndStack() int {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}

// idleFigures measures what idle connections cost. n is their number.
func idleFigures(n int) figures {
	time.Sleep(3 * time.Second)
	heapAndStack()
	time.Sleep(time.Second)
	h := heapAndStack()
	rss, goroutines := statusKB("VmRSS"), runtime.NumGoroutine()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	a := takeSnapshot()
	time.Sleep(10 * time.Second)
	b := takeSnapshot()
	f := float64(n)
	return figures{
		"conns": n, "heap_stack_kb_per_conn": float64(h-idleBase.heapAndStack) / 1024 / f,
		"heap_kb_per_conn": float64(m.HeapAlloc) / 1024 / f, "stack_kb_per_conn": float64(m.StackInuse) / 1024 / f,
		"rss_kb_per_conn": float64(rss-idleBase.rss) / f, "rss_kb": rss,
		"goroutines_per_conn": float64(goroutines-idleBase.goroutines) / f,
		"cpu_pct":             (b.cpu - a.cpu).Seconds() / b.at.Sub(a.at).Seconds() * 100,
		"mallocs_per_conn_s":  float64(b.mallocs-a.mallocs) / f / 10,
	}
}
