//go:build pairings

package pairings

// openAndLeave has a program open a stream and close its network connection: the other end calls its
// handler with the stream.
func openAndLeave(r *rig) {
	for i := range 40 {
		r.client, r.server = r.pair()
		come := make(chan stream, 1)
		opener, other := r.client, r.server
		if i%2 == 1 {
			opener, other = other, opener
		}
		go opener.serve(func(stream) {})             // ends with the connection
		go other.serve(func(s stream) { come <- s }) // ends with the connection
		_ = r.try(hangs/4, func() error {
			if _, err := opener.create(header); err != nil {
				return err
			}
			err := opener.net.Close()
			<-come
			return err
		})
		r.client.net.Close()
		r.server.net.Close()
	}
}
