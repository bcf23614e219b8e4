package spdy

// A HeaderField is one name and its raw value as the wire carries them. Several
// values of one name are joined by NUL bytes in Value (SPEC §2.2).
type HeaderField struct {
	Name, Value string // the name in lower case; the value, whose only control character is NUL
}

// A HeaderBlock is the ordered name/value pairs of a SYN_STREAM, SYN_REPLY or
// HEADERS frame.
type HeaderBlock []HeaderField

// Get returns the raw value of name, which must be lower case, and whether it
// is present.
func (h HeaderBlock) Get(name string) (string, bool) {
	for i := range h {
		if h[i].Name == name {
			return h[i].Value, true
		}
	}
	return "", false
}
