//go:build race

package rtcpeer

const raced = true
