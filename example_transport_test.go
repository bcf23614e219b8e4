package spdy_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"

	"github.com/amahi/spdy"
)

// Over TLS a Transport speaks SPDY or nothing.
func ExampleNegotiationError() {
	web := httptest.NewTLSServer(http.NotFoundHandler()) // HTTP/1.1 only
	defer web.Close()
	web.Config.ErrorLog = log.New(io.Discard, "", 0)

	client := &http.Client{Transport: &spdy.Transport{
		TLSClientConfig: &tls.Config{RootCAs: web.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs},
	}}
	_, err := client.Get(web.URL)
	var notSPDY *spdy.NegotiationError
	fmt.Println(errors.As(err, &notSPDY))
	// Output: true
}

// A reverse proxy whose origin speaks SPDY. When a browser hangs up, the origin's
// handler hears of it at once.
func ExampleTransport_reverseProxy() {
	addr, stop := serveExample(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.URL.Path, " from the origin")
	})
	defer stop()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr})
	transport := &spdy.Transport{}
	defer transport.CloseIdleConnections()
	proxy.Transport = transport // a Session or a Client would do as well
	front := httptest.NewServer(proxy)
	defer front.Close()

	res, err := http.Get(front.URL + "/film")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	fmt.Println(string(body), err)
	// Output: /film from the origin <nil>
}
