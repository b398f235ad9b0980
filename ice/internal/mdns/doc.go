// Package mdns resolves the .local names by which browsers hide the addresses of ICE
// candidates, by multicast DNS (RFC 6762). It also answers queries for such names of
// this agent (draft-ietf-mmusic-mdns-ice-candidates). Resolver and Responder are pure
// state machines: their owner sends what they append to the multicast groups, and
// passes packets from the groups to them.
package mdns
