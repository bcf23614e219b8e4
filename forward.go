package spdy

import "net/http"

// This file strips a message of the headers that a proxy does not forward.

// forwardedHeader returns the headers of h that travel beyond the next recipient. h
// itself is returned if it has no others, and never changed.
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

// copyForwarded adds copies of the headers of src that travel beyond the next recipient
// to dst, and replaces those that dst has.
func copyForwarded(dst, src http.Header) {
	for key, values := range src {
		if reachOf(lowerName(key)) == endToEnd {
			dst[key] = append(dst[key][:0:0], values...)
		}
	}
}

// A forwardedTrailer is the trailer of a request that a proxy forwards. Its values are
// known when the body has been read to its end.
type forwardedTrailer struct {
	from http.Header // of the request that a handler got
	to   http.Header // of the request that is sent: the announced names that may be a trailer's
}

// forwardTrailer returns the trailer to announce.
func forwardTrailer(from http.Header) forwardedTrailer {
	t := forwardedTrailer{from: from}
	for key := range from {
		if validTrailer(key) {
			if t.to == nil {
				t.to = make(http.Header, len(from))
			}
			t.to[key] = nil
		}
	}
	return t
}

// complete adds the values, those of names that were not announced too. It is called by
// the goroutine that has read the body.
func (t *forwardedTrailer) complete() {
	if t.to == nil { // the request ends with its body
		return
	}
	for key, values := range t.from {
		if validTrailer(key) {
			t.to[key] = values
		}
	}
}
