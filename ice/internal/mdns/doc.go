// Package mdns resolves names by multicast DNS (RFC 6762), for the ICE
// candidates whose addresses browsers hide behind names ending in .local. It
// is a pure state machine: who runs it sends its queries to the multicast
// groups and gives it what arrives from there.
package mdns
