package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
)

// checksum is the trailer in which the server says what it has sent.
const checksum = "X-Sha256"

// site is what the servers serve: a page, bytes made on the fly, a place to send
// bytes to, and a directory.
func site(dir string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello from %s, over %s.\n", r.Host, transport(r))
	})
	mux.HandleFunc("GET /generated", sendGenerated)
	mux.HandleFunc("POST /upload", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		if err != nil {
			return // the client has gone, there is nobody to answer
		}
		fmt.Fprintf(w, "%d %x", n, sum.Sum(nil))
	})
	mux.Handle("GET /files/", http.StripPrefix("/files/", http.FileServer(http.Dir(dir))))
	return mux
}

func transport(r *http.Request) string {
	switch {
	case r.TLS == nil:
		return "plaintext"
	case r.TLS.NegotiatedProtocol != "":
		return "TLS and " + r.TLS.NegotiatedProtocol
	}
	return "TLS"
}

// sendGenerated sends as many bytes as asked for, and their checksum in a trailer.
func sendGenerated(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.FormValue("bytes"), 10, 64)
	if err != nil || n < 0 {
		http.Error(w, "how many bytes?", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	w.Header().Set("Trailer", checksum)
	sum := sha256.New()
	if _, err := io.Copy(w, io.TeeReader(generated(n), sum)); err != nil {
		return
	}
	w.Header().Set(checksum, hex.EncodeToString(sum.Sum(nil)))
}

// generated returns a reader of n bytes that nobody has in memory.
func generated(n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte([]byte("spdy quickstart, not for secrets"))), n)
}
