package spdy

// A HeaderField is a name with the raw value from the wire. Several values of a name are joined by
// NUL bytes in Value (SPEC §2.2).
type HeaderField struct {
	Name, Value string // lower-case name; NUL is the only control character in the value
}

// A HeaderBlock is the ordered name/value pairs of a SYN_STREAM, SYN_REPLY or
// HEADERS frame.
type HeaderBlock []HeaderField

// Get returns the raw value of name, and whether the block contains name. name must be lower case.
func (h HeaderBlock) Get(name string) (string, bool) {
	for i := range h {
		if h[i].Name == name {
			return h[i].Value, true
		}
	}
	return "", false
}
