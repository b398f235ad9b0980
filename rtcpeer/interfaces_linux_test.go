package rtcpeer

import (
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
)

// The kernel reports a new address in a network namespace of the test.
func TestRouteSocket(t *testing.T) {
	ip, err := exec.LookPath("ip")
	if err != nil {
		t.Skip("there is no ip command to change addresses with")
	}
	done := make(chan func(), 1)
	go func() {
		// The thread stays in the other namespace. It is never unlocked, so it ends
		// together with the goroutine.
		runtime.LockOSThread()
		done <- watchNamespace(t, ip)
	}()
	if skip := <-done; skip != nil {
		skip()
	}
}

func watchNamespace(t *testing.T, ip string) (skip func()) {
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		return func() { t.Skipf("no network namespace can be made: %v", err) }
	}
	s, err := openChangeSource()
	if err != nil {
		t.Error(err)
		return nil
	}
	defer s.Close()
	want := netip.MustParseAddr("10.99.0.1")
	for _, step := range []struct {
		args    []string
		present bool
	}{
		{[]string{"link", "set", "lo", "up"}, false},
		{[]string{"addr", "add", "10.99.0.1/24", "dev", "lo"}, true},
		{[]string{"addr", "del", "10.99.0.1/24", "dev", "lo"}, false},
	} {
		if out, err := exec.Command(ip, step.args...).CombinedOutput(); err != nil {
			t.Errorf("ip %v: %v\n%s", step.args, err, out)
			return nil
		}
		if err := s.wait(); err != nil {
			t.Error(err)
			return nil
		}
		all, err := machineAddresses()
		if err != nil || slices.Contains(all, want) != step.present {
			t.Errorf("after ip %v: %v, %v", step.args, all, err)
		}
	}
	return nil
}
