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
	priorityImage // and what is not known
	priorityMedia
	priorityPaper // documents to be read elsewhere
	priorityDownload
)

// defaultPriority is that of requests for which the program asks for none. It is the same
// for all, since whoever chooses the URL or the headers of a request may be a stranger to
// those who share its session.
const defaultPriority = priorityImage

// PriorityFor returns a priority for a request, 0 being the most
// urgent and 7 the least, by what its URL's path looks like. What a page cannot
// be shown without comes before what fills it in, and what is large and fetched
// for its own sake comes last. No request gets that priority by itself: it is for
// programs whose requests are all their own, as a browser's are, and not for those that
// send requests for others, who would choose their priority with the path:
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
// Upper and lower case are the same. A nil URL has the priority of what is not
// known, 4.
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

// extension appends the extension of the last element of path in lower case to
// dst. It reports false if it is longer than dst can hold, and so not in the table.
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

// priorityKey is where WithPriority keeps its value.
type priorityKey struct{}

// WithPriority returns a context for requests that are to be sent with the given
// priority, 0 (most urgent) to 7. Larger values mean 7. SPDY/2, which has four
// priorities, sends half of it. Requests for which nobody asks have priority 4, whatever
// their URL and, in a proxy, whatever their client asked for.
//
// Of the streams of a session that have something to send, in either direction, the more
// urgent ones go first. But they go in rounds, in each of which a stream of priority 0
// sends at most 32 KiB, and one of priority 7 at most 16 KiB: so a priority decides who
// waits, and changes by no more than a factor of two how much of a busy session a stream
// gets. A peer that is not of this package may treat priorities otherwise.
func WithPriority(ctx context.Context, priority uint8) context.Context {
	return context.WithValue(ctx, priorityKey{}, min(priority, priorities-1))
}

// priorityOf is the priority to send a request with.
func priorityOf(req *http.Request) uint8 {
	if p, ok := req.Context().Value(priorityKey{}).(uint8); ok {
		return p
	}
	return defaultPriority
}
