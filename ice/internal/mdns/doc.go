// Package mdns resolves names by multicast DNS (RFC 6762), for the ICE
// candidates whose addresses browsers hide behind names ending in .local, and
// answers for such names of our own (draft-ietf-mmusic-mdns-ice-candidates).
// Resolver and Responder are pure state machines: who runs them sends what
// they append to the multicast groups and gives them what arrives from there.
package mdns
