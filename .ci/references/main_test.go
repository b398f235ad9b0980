package main

import "testing"

func TestBestOrder(t *testing.T) {
	order, up, all := bestOrder(map[string]map[string]int{
		"api.go":  {"core.go": 5, "wire.go": 1},
		"core.go": {"wire.go": 7, "api.go": 2},
		"wire.go": {"core.go": 1},
	})
	if up != 3 || all != 16 || order[0] != "api.go" || order[2] != "wire.go" {
		t.Errorf("%v, %d of %d", order, up, all)
	}
}
