package shown

import (
	"fmt"
	"slices"
	"strings"
)

// Redact returns a header value that is safe to show: everything that lets a reader impersonate a
// user is replaced by its length. It hides too much rather than too little: an unknown header is
// hidden if the name sounds like a secret, or if any of the NUL-separated values looks like
// credentials, and any value that may be a URL is shown as such.
func Redact(name, value string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	switch {
	case isSecretHeader(name) || isSecretValue(value):
		return Hidden(value)
	case isURLHeader(name) || isURLValue(value):
		return URL(value)
	}
	return value
}

// Hidden returns the replacement for a secret.
func Hidden(secret string) string {
	if secret == "" {
		return ""
	}
	return fmt.Sprintf("[%d bytes]", len(secret))
}

// IsHidden reports whether text is a result of Hidden.
func IsHidden(text string) bool {
	digits, begins := strings.CutPrefix(text, "[")
	digits, ends := strings.CutSuffix(digits, " bytes]")
	return begins && ends && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// secretParts are substrings of the names of secret headers: authorization, x-auth-token, cookie,
// set-cookie2, x-csrf-token, x-api-key, x-amz-signature and future names like them. Browsers put
// the bearer token for a Kubernetes API server into sec-websocket-protocol.
var secretParts = [...]string{
	"auth", "cookie", "token", "secret", "passw", "credential", "session", "csrf", "xsrf",
	"key", "signature", "jwt", "sec-websocket-protocol", "assertion",
}

// isSecretHeader reports whether the value of a header is secret. The name is in lower case.
func isSecretHeader(name string) bool {
	if strings.HasPrefix(name, ":") { // the pseudo headers
		return false
	}
	return slices.ContainsFunc(secretParts[:], func(part string) bool { return strings.Contains(name, part) })
}

// isSecretValue reports whether one of the NUL-separated values of a header looks like credentials,
// regardless of the header's name.
func isSecretValue(values string) bool {
	for value := range strings.SplitSeq(values, "\x00") {
		if isCredentials(value) {
			return true
		}
	}
	return false
}

func isCredentials(value string) bool {
	scheme, _, ok := strings.Cut(strings.TrimLeft(value, " \t"), " ")
	if !ok {
		return false
	}
	switch strings.ToLower(scheme) {
	case "basic", "bearer", "digest", "negotiate", "ntlm":
		return true
	}
	return false
}

// isURLHeader reports whether the value of a header is a URL, or may be a URL.
func isURLHeader(name string) bool {
	switch name {
	case ":path", "url", "path", "location", "content-location", "referer", "link", "refresh", "x-original-url", "x-rewrite-url":
		return true
	}
	return false
}

// isURLValue reports whether a value may be a URL, or the path and query of one, in a header of any
// name.
func isURLValue(value string) bool {
	return strings.HasPrefix(value, "/") || strings.Contains(value, "://") || strings.Contains(value, "\x00/")
}

// URL hides the user, the password and everything from the query or fragment on, where tokens are
// common. The value may contain several URLs.
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
