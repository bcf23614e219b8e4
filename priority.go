package spdy

import (
	"context"
	"net/http"
	"net/url"
)

// The classes of PriorityFor.
const (
	priorityDocument = iota
	priorityStyle
	priorityScript
	priorityFont
	priorityImage // and unknown extensions
	priorityMedia
	priorityPaper // documents for other programs
	priorityDownload
)

// defaultPriority is the priority of requests without WithPriority. All these requests share one
// priority, since the URL or the headers of a request may be chosen by a stranger to the other
// users of the session.
const defaultPriority = priorityImage

// PriorityFor returns a priority for a request, 0 being the most urgent and 7 the least, by the
// extension of the URL's path. Resources that block rendering rank before the rest of the page, and
// large downloads rank last. No request gets this priority automatically: PriorityFor is for
// programs whose requests are all their own, such as a browser. A program that sends requests for
// others would let them choose the priority with the path:
//
//	req = req.WithContext(spdy.WithPriority(req.Context(), spdy.PriorityFor(req.URL)))
//
// The classes are:
//
//	0  documents: no extension, html, htm, xhtml, shtml, php, asp, aspx, jsp, cgi, do, txt, md
//	1  styles: css, xsl, xslt
//	2  scripts and data: js, mjs, cjs, wasm, json, xml, rss, atom, map, webmanifest
//	3  fonts: woff2, woff, ttf, otf, eot
//	4  images: png, jpg, jpeg, gif, webp, avif, svg, ico, bmp, tif, tiff, heic, jxl
//	   and everything with another extension
//	5  media: mp4, m4v, webm, mkv, mov, avi, mpg, mpeg, ogv, ts, m3u8, mpd, m4s,
//	   mp3, m4a, aac, ogg, oga, opus, flac, wav, mid, vtt, srt
//	6  papers: pdf, epub, doc, docx, xls, xlsx, ppt, pptx, odt, ods, odp, csv
//	7  downloads: zip, gz, tgz, bz2, xz, zst, 7z, rar, tar, iso, img, dmg, exe, msi,
//	   apk, ipa, deb, rpm, jar, bin, torrent
//
// Upper and lower case are the same. A nil URL has the priority of unknown extensions, 4.
func PriorityFor(u *url.URL) uint8 {
	if u == nil {
		return priorityImage
	}
	var buf [len("webmanifest")]byte
	ext, ok := extension(buf[:0], u.Path)
	if !ok {
		return priorityImage
	}
	switch string(ext) {
	case "", "html", "htm", "xhtml", "shtml", "php", "asp", "aspx", "jsp", "cgi", "do", "txt", "md":
		return priorityDocument
	case "css", "xsl", "xslt":
		return priorityStyle
	case "js", "mjs", "cjs", "wasm", "json", "xml", "rss", "atom", "map", "webmanifest":
		return priorityScript
	case "woff2", "woff", "ttf", "otf", "eot":
		return priorityFont
	case "mp4", "m4v", "webm", "mkv", "mov", "avi", "mpg", "mpeg", "ogv", "ts", "m3u8", "mpd", "m4s",
		"mp3", "m4a", "aac", "ogg", "oga", "opus", "flac", "wav", "mid", "vtt", "srt":
		return priorityMedia
	case "pdf", "epub", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "ods", "odp", "csv":
		return priorityPaper
	case "zip", "gz", "tgz", "bz2", "xz", "zst", "7z", "rar", "tar", "iso", "img", "dmg", "exe", "msi",
		"apk", "ipa", "deb", "rpm", "jar", "bin", "torrent":
		return priorityDownload
	}
	return priorityImage
}

// extension appends the extension of the last element of path in lower case to dst. It reports
// false if the extension does not fit in dst, and so is not in the table.
func extension(dst []byte, path string) ([]byte, bool) {
	for i := len(path) - 1; i >= 0 && path[i] != '/'; i-- {
		if path[i] != '.' {
			continue
		}
		ext := path[i+1:]
		if len(ext) > cap(dst) {
			return nil, false
		}
		for j := range len(ext) {
			dst = append(dst, lowerByte(ext[j]))
		}
		return dst, true
	}
	return dst, true
}

// priorityKey is the context key of WithPriority.
type priorityKey struct{}

// WithPriority returns a context for requests that are to be sent with the given priority, 0 (most
// urgent) to 7. Larger values mean 7. SPDY/2, which has four priorities, sends half the value.
// Requests without WithPriority have priority 4, whatever their URL and, in a proxy, whatever
// priority the client requested.
//
// Among the streams with data to send, in either direction of a session, more urgent streams send
// first. But streams send in rounds: in each round a stream of priority 0 sends at most 32 KiB, and
// a stream of priority 7 at most 16 KiB. So a priority decides which streams wait, and changes a
// stream's share of a busy session by no more than a factor of two. Peers without this package may
// treat priorities otherwise.
func WithPriority(ctx context.Context, priority uint8) context.Context {
	return context.WithValue(ctx, priorityKey{}, min(priority, priorities-1))
}

// priorityOf returns the priority to send a request with.
func priorityOf(req *http.Request) uint8 {
	if p, ok := req.Context().Value(priorityKey{}).(uint8); ok {
		return p
	}
	return defaultPriority
}
