package spdy

import "net/http"

// This file removes headers and trailers for the next recipient from forwarded messages.

// forwardedHeader returns the end-to-end headers of h: h itself if there are only such,
// else a copy.
func forwardedHeader(h http.Header) http.Header {
	for key := range h {
		if reachOf(lowerName(key)) != endToEnd {
			out := make(http.Header, len(h))
			copyForwarded(out, h)
			return out
		}
	}
	return h
}

// copyForwarded sets the end-to-end headers of src in dst, to copies of the values.
func copyForwarded(dst, src http.Header) {
	for key, values := range src {
		if reachOf(lowerName(key)) == endToEnd {
			dst[key] = append(dst[key][:0:0], values...)
		}
	}
}

// A forwardedTrailer is the trailer of a request that a proxy forwards. The values arrive
// behind the body.
type forwardedTrailer struct {
	from http.Header // trailer of the handler's request
	to   http.Header // trailer of the forwarded request; names that mayTrail only
}

// mayTrail reports whether a trailer of a request is forwarded. Claims are not: some servers of
// SPDY add trailers to the headers of a request, where a proxy may have claims of its own.
func mayTrail(key string) bool { return validTrailer(key) && !isClaim(key) }

// forwardTrailer returns the trailer to announce.
func forwardTrailer(from http.Header) forwardedTrailer {
	t := forwardedTrailer{from: from}
	for key := range from {
		if mayTrail(key) {
			if t.to == nil {
				t.to = make(http.Header, len(from))
			}
			t.to[key] = nil
		}
	}
	return t
}

// complete adds the values, also of names that were not announced. The goroutine that has
// read the body calls complete.
func (t *forwardedTrailer) complete() {
	if t.to == nil { // the request ends with its body
		return
	}
	for key, values := range t.from {
		if mayTrail(key) {
			t.to[key] = values
		}
	}
}
