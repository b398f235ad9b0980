package stun_test

import (
	"fmt"
	"net/netip"

	"purertc/stun"
)

// Example builds a server's response to a Binding request, and parses it.
func Example() {
	key := stun.NewIntegrity([]byte("the password"))

	w := stun.Build(nil, stun.BindingSuccess, stun.TransactionID{1, 2, 3})
	w.XORAddr(stun.AttrXORMappedAddress, netip.MustParseAddrPort("192.0.2.1:32853"))
	w.Integrity(key)
	w.Fingerprint()

	m, err := stun.Parse(w.Finish())
	if err != nil {
		fmt.Println(err)
		return
	}
	mapped, _ := m.MappedAddress()
	fmt.Println(m.Type(), key.Verify(m), mapped)
	// Output: Binding success response true 192.0.2.1:32853
}
