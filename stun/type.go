package stun

import "fmt"

// A Method is the purpose of a message (RFC 8489 §5). It has 12 bits.
type Method uint16

const (
	MethodBinding           Method = 0x001 // RFC 8489 §18.2
	MethodAllocate          Method = 0x003 // RFC 8656 §17
	MethodRefresh           Method = 0x004
	MethodSend              Method = 0x006 // used in indications only
	MethodData              Method = 0x007 // used in indications only
	MethodCreatePermission  Method = 0x008
	MethodChannelBind       Method = 0x009
	MethodConnect           Method = 0x00a // RFC 6062 §6.1
	MethodConnectionBind    Method = 0x00b
	MethodConnectionAttempt Method = 0x00c // used in indications only
)

// String returns the name of the method in the IANA registry.
func (m Method) String() string {
	switch m {
	case MethodBinding:
		return "Binding"
	case MethodAllocate:
		return "Allocate"
	case MethodRefresh:
		return "Refresh"
	case MethodSend:
		return "Send"
	case MethodData:
		return "Data"
	case MethodCreatePermission:
		return "CreatePermission"
	case MethodChannelBind:
		return "ChannelBind"
	case MethodConnect:
		return "Connect"
	case MethodConnectionBind:
		return "ConnectionBind"
	case MethodConnectionAttempt:
		return "ConnectionAttempt"
	}
	return fmt.Sprintf("Method(%#03x)", uint16(m))
}

// A Class says whether a message is a request, a response or an indication (RFC 8489
// §5).
type Class uint8

const (
	ClassRequest Class = iota
	ClassIndication
	ClassSuccess
	ClassError
)

// String returns the name of the class in RFC 8489 §5.
func (c Class) String() string {
	switch c {
	case ClassRequest:
		return "request"
	case ClassIndication:
		return "indication"
	case ClassSuccess:
		return "success response"
	case ClassError:
		return "error response"
	}
	return fmt.Sprintf("Class(%d)", uint8(c))
}

// A Type is the message type in the header. It consists of the bits of the method and,
// between them, the two bits of the class (RFC 8489 §5, figure 3).
type Type uint16

// NewType returns the message type with this method and this class.
func NewType(m Method, c Class) Type {
	low := Type(m & 0x00f)
	mid := Type(m&0x070) << 1
	high := Type(m&0xf80) << 2
	return high | Type(c&2)<<7 | mid | Type(c&1)<<4 | low
}

// Method returns the method of the message type.
func (t Type) Method() Method {
	return Method(t&0x000f | t&0x00e0>>1 | t&0x3e00>>2)
}

// Class returns the class of the message type.
func (t Type) Class() Class {
	return Class(t>>4&1 | t>>7&2)
}

// String returns a readable form of the type, such as "Binding request".
func (t Type) String() string { return t.Method().String() + " " + t.Class().String() }

// The message types of ICE's connectivity checks.
const (
	BindingRequest    Type = 0x0001
	BindingIndication Type = 0x0011
	BindingSuccess    Type = 0x0101
	BindingError      Type = 0x0111
)
