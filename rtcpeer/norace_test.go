//go:build !race

package rtcpeer

const raced = false
