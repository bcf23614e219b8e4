package main

import (
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"net/http"
	"time"
)

// A receipt is what the origin answers to an upload that has come to its end.
type receipt struct {
	Length int64
	Sum    uint64 // FNV-1a of all bytes
}

// changed is when all files of the site were changed last.
var changed = time.Date(2014, 6, 1, 12, 0, 0, 0, time.UTC)

// newSite returns the handler of the origin: files of any number and size that are made up
// as they are read. Those of /media have a length and ranges, those of /live come in pieces
// and end when they end, and /upload takes one and acknowledges it.
func newSite(counts *tally) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /media/", func(w http.ResponseWriter, r *http.Request) {
		_, f, err := parseFile(r.URL.Path)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "video/mp4")
		http.ServeContent(w, r, "", changed, &fileReader{file: f})
	})
	mux.HandleFunc("GET /live/", serveLive)
	mux.HandleFunc("POST /upload/", func(w http.ResponseWriter, r *http.Request) { takeUpload(counts, w, r) })
	return mux
}

// serveLive answers without a Content-Length: only the protocol tells where it ends.
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
				panic(http.ErrAbortHandler) // the client must not take it for the end
			}
			return
		}
		if err := c.Flush(); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// takeUpload checks what comes. A body that ends without an error must be all of it: an
// upload that was given up, on any of the hops, must not look finished.
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
