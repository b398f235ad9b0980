package stun

import "fmt"

// An AttrType is the number of an attribute (RFC 8489 §18.3). Attributes with numbers
// below 0x8000 are comprehension-required.
type AttrType uint16

// Required reports whether the attribute is comprehension-required: a receiver that
// does not know it must refuse the message (RFC 8489 §14).
func (t AttrType) Required() bool { return t < 0x8000 }

const (
	// RFC 8489
	AttrMappedAddress          AttrType = 0x0001
	AttrUsername               AttrType = 0x0006
	AttrMessageIntegrity       AttrType = 0x0008
	AttrErrorCode              AttrType = 0x0009
	AttrUnknownAttributes      AttrType = 0x000a
	AttrRealm                  AttrType = 0x0014
	AttrNonce                  AttrType = 0x0015
	AttrMessageIntegritySHA256 AttrType = 0x001c
	AttrPasswordAlgorithm      AttrType = 0x001d
	AttrUserhash               AttrType = 0x001e
	AttrXORMappedAddress       AttrType = 0x0020
	AttrPasswordAlgorithms     AttrType = 0x8002
	AttrAlternateDomain        AttrType = 0x8003
	AttrSoftware               AttrType = 0x8022
	AttrAlternateServer        AttrType = 0x8023
	AttrFingerprint            AttrType = 0x8028

	// RFC 8445, ICE
	AttrPriority       AttrType = 0x0024
	AttrUseCandidate   AttrType = 0x0025
	AttrICEControlled  AttrType = 0x8029
	AttrICEControlling AttrType = 0x802a

	// RFC 8656, TURN
	AttrChannelNumber           AttrType = 0x000c
	AttrLifetime                AttrType = 0x000d
	AttrXORPeerAddress          AttrType = 0x0012
	AttrData                    AttrType = 0x0013
	AttrXORRelayedAddress       AttrType = 0x0016
	AttrRequestedAddressFamily  AttrType = 0x0017
	AttrEvenPort                AttrType = 0x0018
	AttrRequestedTransport      AttrType = 0x0019
	AttrDontFragment            AttrType = 0x001a
	AttrReservationToken        AttrType = 0x0022
	AttrAdditionalAddressFamily AttrType = 0x8000
	AttrAddressErrorCode        AttrType = 0x8001
	AttrICMP                    AttrType = 0x8004

	// RFC 6062, TCP allocations
	AttrConnectionID AttrType = 0x002a

	// RFC 7635, third-party authorization
	AttrAccessToken             AttrType = 0x001b
	AttrThirdPartyAuthorization AttrType = 0x802e

	// RFC 5780, NAT behaviour discovery
	AttrChangeRequest  AttrType = 0x0003
	AttrPadding        AttrType = 0x0026
	AttrResponsePort   AttrType = 0x0027
	AttrResponseOrigin AttrType = 0x802b
	AttrOtherAddress   AttrType = 0x802c

	// Extensions of browsers. All are comprehension-optional.
	AttrNomination      AttrType = 0xc001 // draft-thatcher-ice-renomination
	AttrGoogNetworkInfo AttrType = 0xc057
	AttrGoogMiscInfo    AttrType = 0xc059
	AttrDTLSInSTUN      AttrType = 0xc070 // draft-hancke-webrtc-sped
	AttrDTLSInSTUNAck   AttrType = 0xc071
)

// String returns the name of the attribute in the IANA registry.
func (t AttrType) String() string {
	if s := attrName(t); s != "" {
		return s
	}
	return fmt.Sprintf("0x%04X", uint16(t))
}

// known reports whether attrName has a name for the attribute.
func (t AttrType) known() bool { return attrName(t) != "" }

func attrName(t AttrType) string {
	switch t {
	case AttrMappedAddress:
		return "MAPPED-ADDRESS"
	case AttrUsername:
		return "USERNAME"
	case AttrMessageIntegrity:
		return "MESSAGE-INTEGRITY"
	case AttrErrorCode:
		return "ERROR-CODE"
	case AttrUnknownAttributes:
		return "UNKNOWN-ATTRIBUTES"
	case AttrRealm:
		return "REALM"
	case AttrNonce:
		return "NONCE"
	case AttrMessageIntegritySHA256:
		return "MESSAGE-INTEGRITY-SHA256"
	case AttrPasswordAlgorithm:
		return "PASSWORD-ALGORITHM"
	case AttrUserhash:
		return "USERHASH"
	case AttrXORMappedAddress:
		return "XOR-MAPPED-ADDRESS"
	case AttrPasswordAlgorithms:
		return "PASSWORD-ALGORITHMS"
	case AttrAlternateDomain:
		return "ALTERNATE-DOMAIN"
	case AttrSoftware:
		return "SOFTWARE"
	case AttrAlternateServer:
		return "ALTERNATE-SERVER"
	case AttrFingerprint:
		return "FINGERPRINT"
	case AttrPriority:
		return "PRIORITY"
	case AttrUseCandidate:
		return "USE-CANDIDATE"
	case AttrICEControlled:
		return "ICE-CONTROLLED"
	case AttrICEControlling:
		return "ICE-CONTROLLING"
	case AttrChannelNumber:
		return "CHANNEL-NUMBER"
	case AttrLifetime:
		return "LIFETIME"
	case AttrXORPeerAddress:
		return "XOR-PEER-ADDRESS"
	case AttrData:
		return "DATA"
	case AttrXORRelayedAddress:
		return "XOR-RELAYED-ADDRESS"
	case AttrRequestedAddressFamily:
		return "REQUESTED-ADDRESS-FAMILY"
	case AttrEvenPort:
		return "EVEN-PORT"
	case AttrRequestedTransport:
		return "REQUESTED-TRANSPORT"
	case AttrDontFragment:
		return "DONT-FRAGMENT"
	case AttrReservationToken:
		return "RESERVATION-TOKEN"
	case AttrAdditionalAddressFamily:
		return "ADDITIONAL-ADDRESS-FAMILY"
	case AttrAddressErrorCode:
		return "ADDRESS-ERROR-CODE"
	case AttrICMP:
		return "ICMP"
	case AttrConnectionID:
		return "CONNECTION-ID"
	case AttrAccessToken:
		return "ACCESS-TOKEN"
	case AttrThirdPartyAuthorization:
		return "THIRD-PARTY-AUTHORIZATION"
	case AttrChangeRequest:
		return "CHANGE-REQUEST"
	case AttrPadding:
		return "PADDING"
	case AttrResponsePort:
		return "RESPONSE-PORT"
	case AttrResponseOrigin:
		return "RESPONSE-ORIGIN"
	case AttrOtherAddress:
		return "OTHER-ADDRESS"
	case AttrNomination:
		return "NOMINATION"
	case AttrGoogNetworkInfo:
		return "GOOG-NETWORK-INFO"
	case AttrGoogMiscInfo:
		return "GOOG-MISC-INFO"
	case AttrDTLSInSTUN:
		return "DTLS-IN-STUN"
	case AttrDTLSInSTUNAck:
		return "DTLS-IN-STUN-ACK"
	}
	return ""
}
