// Package sharing has tests of a Host on sockets that are not the system's own: a UDP
// socket that quic-go reads, and the sockets of gVisor's network stack. They need
// modules that the main module does not depend on.
package sharing
