package turn

import (
	"errors"
	"fmt"
	"net/netip"

	"purertc/stun"
)

// Reasons why an allocation fails.
var (
	ErrTimeout       = errors.New("the server does not answer")
	ErrIntegrity     = errors.New("the server's answers are not authenticated by the password")
	ErrNoCredentials = errors.New("the server wants a username and a password, and there are none")
	ErrPassword      = errors.New("wrong username or password")
	ErrBidDown       = errors.New("the server's password algorithms were tampered with, or are unknown here")
	ErrAnswer        = errors.New("the server's answer cannot be used")
	ErrLimit         = errors.New("turn: too many peers")
)

// An AlternateError says that the server refers its clients to another server, to
// which the owner has to open another connection (RFC 8489 §10).
type AlternateError struct {
	Server netip.AddrPort
	Domain string // the name that the other server's certificate must have (RFC 8489 §14.16); "": the name of the first server
}

func (e *AlternateError) Error() string {
	return fmt.Sprintf("the server sends its clients to %v", e.Server)
}

// explain returns an error that describes an error response in plain words. errors.As
// finds the *stun.Error in it.
func explain(m stun.Message) error {
	err := m.Err()
	if err == nil {
		return ErrAnswer
	}
	words := ""
	switch code, _, _ := m.ErrorCode(); code {
	case stun.CodeUnauthenticated:
		return fmt.Errorf("%w: %w", ErrPassword, err)
	case stun.CodeBadRequest:
		words = "the server takes the request for malformed"
	case stun.CodeForbidden:
		words = "the server's policy forbids it"
	case stun.CodeUnknownAttribute:
		words = "the server does not know an attribute that this needs"
	case stun.CodeAllocationMismatch:
		words = "the server and this client disagree on whether there is an allocation"
	case stun.CodeStaleNonce:
		words = "the server calls every nonce stale, its own latest too"
	case stun.CodeFamilyNotSupported:
		words = "the server does not relay this address family"
	case stun.CodeWrongCredentials:
		words = "the allocation was made with another username or password"
	case stun.CodeUnsupportedTransport:
		words = "the server does not relay UDP"
	case stun.CodePeerFamilyMismatch:
		words = "the peer's address is of another family than the relayed one"
	case stun.CodeAllocationQuota:
		words = "the quota of allocations for this username is reached"
	case stun.CodeInsufficientCapacity:
		words = "the server has no free relayed address"
	case stun.CodeServerError:
		words = "the server failed for the moment"
	default:
		words = "the server refuses"
	}
	return fmt.Errorf("%s: %w", words, err)
}
