package strangers

import (
	"fmt"
	"net/http"
	"strings"
)

// oddHeaders returns headers that are legal and unusual.
func oddHeaders() []http.Header {
	many, repeated, empty := http.Header{}, http.Header{}, http.Header{}
	for i := range 1000 {
		many[fmt.Sprintf("X-Name-%d", i)] = []string{"value"}
		repeated.Add("X-Again", fmt.Sprint(i))
		empty.Add("X-Empty", "")
	}
	return []http.Header{
		many, repeated, empty,
		{"X-Nothing": {""}, "X-Spaces": {"a \t b"}, "X-Commas": {",,,"}},
		{"X-" + strings.Repeat("Long-", 13_000) + "Name": {"v"}}, // longer than a 16-bit length
		{"X-Obs-Text": {"caf\xe9 \xff\xfe\x80"}},
		{"X-!#$%&'*+.^_`|~": {"every byte of a token"}},
		{"lower-case": {"a"}, "UPPER-CASE": {"b"}},
		{"Connection": {"X-Named, X-Forwarded-For, Cookie, Host, Te"}, "X-Named": {"1"}},
		{"Connection": {"keep-alive, Keep-Alive"}, "Keep-Alive": {"timeout=5"}, "Proxy-Connection": {"keep-alive"}},
		{"Te": {"trailers, deflate"}, "Upgrade": {"spdy/3.1, h2c"}},
		{"Expect": {"100-continue"}},
		{"Cookie": {"a=b", "a=b", "", "; ;"}, "Authorization": {"Basic " + strings.Repeat("A", 8000)}},
		// names that SPDY/2 reserves, and SPDY/3 with a colon
		{"Method": {"PUT"}, "Url": {"/panic"}, "Version": {"HTTP/0.9"}, "Scheme": {"gopher"}, "Status": {"500"}, "Path": {"/panic"}},
		{"Range": {"bytes=0-0,1-1,2-2,-1"}, "If-None-Match": {"*"}, "Accept-Encoding": {"gzip;q=0, *;q=0"}},
		{"Content-Encoding": {"gzip"}, "Content-Type": {"multipart/form-data"}, "Transfer-Encoding-Of-Mine": {"chunked"}},
	}
}
