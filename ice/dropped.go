package ice

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Dropped is a candidate that is not used, with the reason.
type Dropped struct {
	Candidate string // the candidate as it was signalled, or an address; cut after 256 bytes
	Local     bool
	Reason    error
}

// ErrUnusable is wrapped by the reasons of candidates that AddRemote drops.
var ErrUnusable = errors.New("ice: candidate cannot be used")

func unusable(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnusable, fmt.Sprintf(format, args...))
}

// Reasons why remote candidates are dropped.
var (
	errTransport  = unusable("neither UDP nor TCP with tcptype active or passive")
	errComponent  = unusable("not of component 1, the only one of data channels")
	errActiveName = unusable("an active TCP candidate is not connected to, so its name is of no use")
	errGeneration = unusable("its ufrag is not that of the remote description")
	errName       = unusable("its name does not end in .local: other names are not looked up")
	errFiltered   = unusable("the program's filter does not allow its address")
	errPort       = unusable("its address or port is not one to send to")
	errUnresolved = unusable("its name is not known to multicast DNS")
	errMadeRoom   = fmt.Errorf("%w: it made room for a more useful one", ErrTooManyCandidates)
)

const (
	maxDropped     = 32  // number of candidates that a Report names
	maxDroppedText = 256 // length in bytes of a candidate in a Report
)

// drops holds the most recently dropped candidates, and how many were dropped in
// total.
type drops struct {
	list  []Dropped
	count int
}

// Drop adds to Report a candidate that the owner of the agent does not use, such as a
// malformed line of a description. Report names the latest 32 candidates, each once.
func (a *Agent) Drop(now time.Time, d Dropped) { a.drop(now, d) }

func (k *checks) drop(now time.Time, d Dropped) {
	k.trace.dropped(now, d)
	if len(d.Candidate) > maxDroppedText {
		d.Candidate = d.Candidate[:maxDroppedText]
	}
	if k.drops == nil {
		k.drops = &drops{}
	}
	same := func(o Dropped) bool { return o.Candidate == d.Candidate && o.Local == d.Local }
	if i := slices.IndexFunc(k.drops.list, same); i >= 0 {
		k.drops.list[i].Reason = d.Reason
		return
	}
	if k.drops.count++; len(k.drops.list) == maxDropped {
		k.drops.list = slices.Delete(k.drops.list, 0, 1)
	}
	d.Candidate = string([]byte(d.Candidate)) // a copy, because the candidate may be a part of a long text
	k.drops.list = append(k.drops.list, d)
}

// undropLocal removes a local address from Report, because the address is used now.
func (k *checks) undropLocal(address string) {
	if k.drops == nil {
		return
	}
	if i := slices.IndexFunc(k.drops.list, func(d Dropped) bool { return d.Local && d.Candidate == address }); i >= 0 {
		k.drops.list = slices.Delete(k.drops.list, i, i+1)
		k.drops.count--
	}
}

// dropRemote drops a candidate of the remote agent.
func (k *checks) dropRemote(now time.Time, c Candidate, reason error) error {
	k.drop(now, Dropped{Candidate: c.String(), Reason: reason})
	return reason
}
