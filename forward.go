package spdy

import "net/http"

// This file removes hop-by-hop headers and trailers from forwarded messages.

// forwardedHeader returns the end-to-end headers of h: h itself if all headers are end-to-end, else
// a copy.
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

// A forwardedTrailer is the trailer of a request that a proxy forwards. The trailer's values arrive
// after the body.
type forwardedTrailer struct {
	from http.Header // trailer of the handler's request
	to   http.Header // trailer of the forwarded request; only names that pass mayTrail
}

// mayTrail reports whether a trailer of a request is forwarded. Claims are not forwarded: some SPDY
// servers add trailers to the headers of a request, where a proxy may have set claims of its own.
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

// complete adds the values, also for names that were not announced. The goroutine that has read the
// body calls complete.
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
