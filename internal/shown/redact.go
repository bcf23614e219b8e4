package shown

import (
	"fmt"
	"slices"
	"strings"
)

// Redact returns what may be shown of the value of a header: everything that lets its reader
// act for somebody is replaced by its length. It hides too much rather than too little: a
// header of a name that nobody has heard of is hidden if the name sounds like a secret.
func Redact(name, value string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	switch {
	case isSecretHeader(name) || isSecretValue(value):
		return Hidden(value)
	case isURLHeader(name):
		return URL(value)
	}
	return value
}

// Hidden is what stands for a secret.
func Hidden(secret string) string {
	if secret == "" {
		return ""
	}
	return fmt.Sprintf("[%d bytes]", len(secret))
}

// IsHidden reports that text is what Hidden returns.
func IsHidden(text string) bool {
	digits, begins := strings.CutPrefix(text, "[")
	digits, ends := strings.CutSuffix(digits, " bytes]")
	return begins && ends && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// secretParts are what the names of headers with secrets have in them: authorization,
// x-auth-token, cookie, set-cookie2, x-csrf-token, x-api-key, x-amz-signature and
// whatever else will be thought of. sec-websocket-protocol is where browsers put the
// bearer token for a Kubernetes API server.
var secretParts = [...]string{
	"auth", "cookie", "token", "secret", "passw", "credential", "session", "csrf", "xsrf",
	"key", "signature", "jwt", "sec-websocket-protocol", "assertion",
}

// isSecretHeader reports that the value of a header is nobody's business. The name is in lower case.
func isSecretHeader(name string) bool {
	if strings.HasPrefix(name, ":") { // the pseudo headers
		return false
	}
	return slices.ContainsFunc(secretParts[:], func(part string) bool { return strings.Contains(name, part) })
}

// isSecretValue reports that a value looks like credentials, whatever its name says.
func isSecretValue(value string) bool {
	scheme, _, ok := strings.Cut(value, " ")
	if !ok {
		return false
	}
	switch strings.ToLower(scheme) {
	case "basic", "bearer", "digest", "negotiate", "ntlm":
		return true
	}
	return false
}

// isURLHeader reports that the value of a header is a URL, or may be one.
func isURLHeader(name string) bool {
	switch name {
	case ":path", "url", "path", "location", "content-location", "referer", "link", "refresh", "x-original-url", "x-rewrite-url":
		return true
	}
	return false
}

// URL hides the query and the fragment of a URL, where tokens are often
// put, with all that follows, and the user and the password. There may be several
// URLs in a value.
func URL(value string) string {
	if i := strings.IndexAny(value, "?#"); i >= 0 {
		value = value[:i+1] + Hidden(value[i+1:])
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(value, "//")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		b.WriteString("//")
		end := strings.IndexAny(rest, "/?#<>, \x00")
		if end < 0 {
			end = len(rest)
		}
		if at := strings.LastIndexByte(rest[:end], '@'); at >= 0 {
			b.WriteString(Hidden(rest[:at]))
			rest = rest[at:]
		}
		value = rest
	}
}
