package spdy

import (
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// This file says for which users a pushed answer is. Vary and the credentials do not tell
// them apart where a server looks at other headers, such as X-Api-Key or the
// X-Forwarded-For of a proxy.

// shares reports whether the pushed answer may be used for the request. One that may not
// be stored answers no request; one that the server does not declare to be for everybody
// answers only requests of the user of the cause, as far as the headers tell. The headers
// of the answer have arrived.
func (p *push) shares(up *upload) bool {
	store, everybody := storable(&p.st.reply)
	return store && (everybody || sameUser(up, p.cause))
}

// storable reports whether a cache may keep an answer, and whether it may use it for
// everybody (RFC 9111 §3, §5.2.2).
func storable(reply *HeaderBlock) (store, everybody bool) {
	control, _ := reply.Get("cache-control")
	store = true
	for directive := range strings.FieldsFuncSeq(control, isVarySeparator) {
		name, value, _ := strings.Cut(directive, "=")
		switch strings.ToLower(textproto.TrimString(name)) {
		case "no-store":
			return false, false
		case "private", "no-cache":
			return true, false
		case "public":
			everybody = true
		case "max-age", "s-maxage":
			seconds, err := strconv.ParseUint(strings.Trim(value, " \t\""), 10, 31)
			everybody = everybody || err == nil && seconds > 0
		}
	}
	_, personal := reply.Get("set-cookie")
	return store, everybody && !personal
}

// sameUser reports whether a request and the cause of a push have the same headers, but for
// those that say nothing of the user.
func sameUser(up *upload, cause http.Header) bool {
	return maps.Equal(personal(up.req.Header), personal(cause))
}

// personal returns the headers that may say who the user is, by lower-case names.
func personal(header http.Header) map[string]string {
	own := make(map[string]string, len(header))
	for key, values := range header {
		if name := lowerName(key); len(values) > 0 && !impersonal(name) {
			own[name] += joinValues(name, values) // two keys of one name, in any order, are another user's at worst
		}
	}
	return own
}

// impersonal reports whether a header with a lower-case name differs between the requests
// of one user.
func impersonal(name string) bool {
	return slices.Contains(impersonalHeaders, name) || strings.HasPrefix(name, "sec-fetch-") || reachOf(name) != endToEnd
}

var impersonalHeaders = []string{
	"accept", "accept-encoding", "accept-language", "user-agent", "referer", "origin", "cache-control", "pragma",
	"dnt", "priority", "purpose", "upgrade-insecure-requests",
}
