package main

import (
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"net/http"
	"time"
)

// A receipt is the origin's response to a complete upload.
type receipt struct {
	Length int64
	Sum    uint64 // FNV-1a of all bytes
}

// changed is the last modification time of all files of the site.
var changed = time.Date(2014, 6, 1, 12, 0, 0, 0, time.UTC)

// newSite returns the handler of the origin: files of any number and size, generated as they are
// read. Files under /media have a length and ranges, files under /live are sent in pieces without a
// length, and /upload accepts a file and responds with a receipt.
func newSite(counts *tally) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /media/", func(w http.ResponseWriter, r *http.Request) {
		_, f, err := parseFile(r.URL.Path)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "video/mp4")
		w.Header().Set("Cache-Control", "public, max-age=60") // so that a push matches every request
		http.ServeContent(w, r, "", changed, &fileReader{file: f})
	})
	mux.HandleFunc("GET /live/", serveLive)
	mux.HandleFunc("POST /upload/", func(w http.ResponseWriter, r *http.Request) { takeUpload(counts, w, r) })
	mux.HandleFunc("POST /late/", func(w http.ResponseWriter, r *http.Request) { answerBefore(counts, w, r, true) })
	mux.HandleFunc("POST /early/", func(w http.ResponseWriter, r *http.Request) { answerBefore(counts, w, r, false) })
	return mux
}

// serveLive responds without a Content-Length: only the protocol marks the end.
func serveLive(w http.ResponseWriter, r *http.Request) {
	_, f, err := parseFile(r.URL.Path)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	c := http.NewResponseController(w)
	body := &fileReader{file: f}
	for size := int64(700); ; size *= 2 {
		if n, err := io.CopyN(w, body, min(size, 64<<10)); err != nil || n == 0 {
			if !errors.Is(err, io.EOF) {
				panic(http.ErrAbortHandler) // the client must not mistake it for the end
			}
			return
		}
		if err := c.Flush(); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// answerBefore responds to an upload with the same file before the upload is complete: half of the
// response before it reads the upload, or all of it without reading the upload.
func answerBefore(counts *tally, w http.ResponseWriter, r *http.Request, reads bool) {
	_, f, err := parseFile(r.URL.Path)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	body, upload := &fileReader{file: f}, newCheck(f, 0)
	_, err = io.CopyN(w, body, f.size/2)
	if err == nil {
		err = http.NewResponseController(w).Flush()
	}
	if err == nil && reads {
		if _, err = io.Copy(upload, r.Body); err == nil {
			err = upload.whole()
		}
		if errors.Is(err, errCorrupt) || errors.Is(err, errTruncated) {
			counts.failed("overlapped upload", err)
		}
	}
	if err == nil {
		_, err = io.Copy(w, body)
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the client must not mistake it for the end
	}
}

// takeUpload checks the upload. A body that ends without an error must be complete: an upload
// cancelled on any of the hops must not look finished.
func takeUpload(counts *tally, w http.ResponseWriter, r *http.Request) {
	_, f, err := parseFile(r.URL.Path)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	body, sum := newCheck(f, 0), fnv.New64a()
	n, err := io.Copy(io.MultiWriter(body, sum), r.Body)
	if err == nil {
		err = body.whole()
	}
	switch {
	case errors.Is(err, errCorrupt):
		counts.never(corrupt, "upload: "+err.Error())
	case errors.Is(err, errTruncated):
		counts.never(truncated, "upload: "+err.Error())
	case err != nil:
		counts.add(uploadsBroken, 1)
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	counts.add(uploadsWhole, 1)
	counts.add(received, n)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(receipt{Length: n, Sum: sum.Sum64()})
}
