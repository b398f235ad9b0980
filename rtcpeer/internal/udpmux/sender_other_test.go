//go:build !linux

package udpmux

const knowsLocal = false
