package ice

import (
	"errors"
	"fmt"
	"slices"
)

// A Dropped is a candidate that is not used, and the reason.
type Dropped struct {
	Candidate string // as it was signalled, or an address; at most 256 bytes of it
	Local     bool
	Reason    error
}

// ErrUnusable is wrapped by the reasons of candidates that AddRemote drops.
var ErrUnusable = errors.New("ice: candidate cannot be used")

func unusable(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnusable, fmt.Sprintf(format, args...))
}

// Why remote candidates are dropped.
var (
	errTransport  = unusable("neither UDP nor TCP with tcptype active or passive")
	errComponent  = unusable("not of component 1, the only one of data channels")
	errActiveName = unusable("an active TCP candidate is not connected to, so its name is of no use")
	errGeneration = unusable("its ufrag is not that of the remote description")
	errName       = unusable("its name does not end in .local: other names are not looked up")
	errPort       = unusable("its address or port is not one to send to")
	errUnresolved = unusable("its name is not known to multicast DNS")
	errMadeRoom   = fmt.Errorf("%w: it made room for a more useful one", ErrTooManyCandidates)
)

const (
	maxDropped     = 32  // candidates that a Report names
	maxDroppedText = 256 // bytes of one
)

// drops are the candidates that were dropped last, and how many were dropped.
type drops struct {
	list  []Dropped
	count int
}

// Drop adds a candidate to Report that the owner of the agent does not use, such as
// a malformed line of a description. Report has the latest 32, each once.
func (a *Agent) Drop(d Dropped) {
	if len(d.Candidate) > maxDroppedText {
		d.Candidate = d.Candidate[:maxDroppedText]
	}
	if a.drops == nil {
		a.drops = &drops{}
	}
	same := func(o Dropped) bool { return o.Candidate == d.Candidate && o.Local == d.Local }
	if i := slices.IndexFunc(a.drops.list, same); i >= 0 {
		a.drops.list[i].Reason = d.Reason
		return
	}
	if a.drops.count++; len(a.drops.list) == maxDropped {
		a.drops.list = slices.Delete(a.drops.list, 0, 1)
	}
	d.Candidate = string([]byte(d.Candidate)) // it may be a part of a long text
	a.drops.list = append(a.drops.list, d)
}

// undropLocal removes a local address from Report: it is used now.
func (a *Agent) undropLocal(address string) {
	if a.drops == nil {
		return
	}
	if i := slices.IndexFunc(a.drops.list, func(d Dropped) bool { return d.Local && d.Candidate == address }); i >= 0 {
		a.drops.list = slices.Delete(a.drops.list, i, i+1)
		a.drops.count--
	}
}

// dropRemote drops a candidate of the remote agent.
func (a *Agent) dropRemote(c Candidate, reason error) error {
	a.Drop(Dropped{Candidate: c.String(), Reason: reason})
	return reason
}
