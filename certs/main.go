// Command certs writes a certificate and a key for servers on this machine, to try the examples
// over TLS:
//
//	go run ./certs
//
// It makes certs/cert.pem and certs/key.pem. See the README in the same directory.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/amahi/spdy/internal/localcert"
)

func main() {
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "certs:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("certs", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("dir", "certs", "`directory` to write cert.pem and key.pem to")
	hosts := flags.String("hosts", strings.Join(localcert.Hosts, ","), "comma-separated host `names` and IP addresses")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	names := strings.FieldsFunc(*hosts, func(r rune) bool { return r == ',' || r == ' ' })
	cert, _, err := localcert.New(names...)
	if err != nil {
		return err
	}
	certPath, keyPath, err := localcert.WritePEM(*dir, cert)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s  the certificate, which clients are told to trust; until %s\n",
		certPath, cert.Leaf.NotAfter.Format("2 January 2006"))
	fmt.Fprintf(stdout, "%s  its key; keep it to yourself\n", keyPath)
	return nil
}
