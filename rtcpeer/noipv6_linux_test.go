package rtcpeer

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"unsafe"
)

// withoutIPv6 is the environment variable of the process in which TestHostWithoutIPv6
// has no IPv6.
const withoutIPv6 = "RTCPEER_TEST_WITHOUT_IPV6"

// A Host for all addresses serves IPv4 if the kernel has no IPv6.
func TestHostWithoutIPv6(t *testing.T) {
	if os.Getenv(withoutIPv6) == "" {
		c := exec.Command(os.Args[0], "-test.run=^TestHostWithoutIPv6$", "-test.v")
		c.Env = append(os.Environ(), withoutIPv6+"=1")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		if bytes.Contains(out, []byte("--- SKIP")) {
			t.Skipf("%s", out)
		}
		return
	}
	refuseIPv6(t)
	if c, err := net.ListenPacket("udp6", "[::1]:0"); err == nil {
		c.Close()
		t.Skip("there is IPv6 all the same")
	}
	for _, cfg := range []HostConfig{{}, {Addr: ":0"}, {TCPAddr: ":0"}, {Addr: ":0", Sockets: 2}, {Addr: "127.0.0.1:0"}} {
		h, err := NewHost(cfg)
		if err != nil {
			t.Errorf("%+v: %v", cfg, err)
			continue
		}
		if !h.Addr().Addr().Is4() || cfg.TCPAddr != "" && !h.TCPAddr().Addr().Is4() {
			t.Errorf("%+v serves %v, TCP %v", cfg, h.Addr(), h.TCPAddr())
		}
		_, _, x, y := realPairOf(t, Config{}, Config{Host: h})
		transfer(t, x, y)
		t.Cleanup(func() { h.Close() })
	}
	if _, err := NewHost(HostConfig{Addr: "[::]:0"}); err == nil {
		t.Error("a Host for IPv6 was made")
	}
}

// refuseIPv6 makes socket(AF_INET6) fail with EAFNOSUPPORT in the whole process, by
// seccomp(2), which needs no privilege.
func refuseIPv6(t *testing.T) {
	number, known := map[string]uintptr{"amd64": 317, "arm64": 277, "riscv64": 277, "loong64": 277}[runtime.GOARCH]
	if !known {
		t.Skip("no number of seccomp(2) for this architecture")
	}
	const (
		loadWord, jumpIfEqual, ret = 0x20, 0x15, 0x06 // linux/bpf_common.h
		offsetNumber, offsetArg0   = 0, 16            // struct seccomp_data, little-endian
		retErrno, retAllow         = 0x00050000, 0x7fff0000
		prSetNoNewPrivs            = 38
		setModeFilter, tsync       = 1, 1
	)
	type instruction struct {
		code   uint16
		jt, jf uint8
		k      uint32
	}
	program := []instruction{
		{loadWord, 0, 0, offsetNumber},
		{jumpIfEqual, 0, 3, uint32(syscall.SYS_SOCKET)},
		{loadWord, 0, 0, offsetArg0},
		{jumpIfEqual, 0, 1, syscall.AF_INET6},
		{ret, 0, 0, retErrno | uint32(syscall.EAFNOSUPPORT)},
		{ret, 0, 0, retAllow},
	}
	filter := struct {
		n     uint16
		first *instruction
	}{uint16(len(program)), &program[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
		t.Skipf("prctl: %v", errno)
	}
	if r, _, errno := syscall.RawSyscall(number, setModeFilter, tsync, uintptr(unsafe.Pointer(&filter))); r != 0 || errno != 0 {
		t.Skipf("seccomp: %d, %v", r, errno)
	}
}
