package spdy

// The preset dictionaries of header compression. All header blocks of a session direction form one
// zlib stream, which starts with the dictionary of the session's version (SPDY/2 "Name/Value Header
// Block Format", SPDY/3.1 §2.6.10.1).

// dictionarySPDY2 ends with a NUL byte: the drafts print a C string, and every implementation
// includes the terminator (SPEC §2.6). The misprint "if-unmodifiedsince" is part of the dictionary,
// too.
const dictionarySPDY2 = "optionsgetheadpostputdeletetraceaccept" +
	"accept-charsetaccept-encodingaccept-language" +
	"authorizationexpectfromhost" +
	"if-modified-sinceif-matchif-none-match" +
	"if-rangeif-unmodifiedsincemax-forwards" +
	"proxy-authorizationrangerefererteuser-agent" +
	"100101200201202203204205206300301" +
	"302303304305306307400401402403404405406" +
	"407408409410411412413414415416417" +
	"500501502503504505" +
	"accept-rangesageetaglocation" +
	"proxy-authenticatepublicretry-after" +
	"servervarywarningwww-authenticate" +
	"allowcontent-basecontent-encodingcache-control" +
	"connectiondatetrailertransfer-encodingupgrade" +
	"viawarningcontent-language" +
	"content-lengthcontent-location" +
	"content-md5content-rangecontent-typeetag" +
	"expireslast-modifiedset-cookie" +
	"MondayTuesdayWednesdayThursdayFridaySaturdaySunday" +
	"JanFebMarAprMayJunJulAugSepOctNovDec" +
	"chunkedtext/htmlimage/pngimage/jpg" +
	"image/gifapplication/xmlapplication/xhtml" +
	"text/plainpublicmax-age" +
	"charset=iso-8859-1utf-8gzipdeflate" +
	"HTTP/1.1statusversionurl\x00"

// dictionarySPDY3 is the dictionary of SPDY/3 and SPDY/3.1. Each name follows its 32-bit length, as
// in a name/value block, so that the length and the name match together.
const dictionarySPDY3 = "\x00\x00\x00\x07options\x00\x00\x00\x04head\x00\x00\x00\x04post" +
	"\x00\x00\x00\x03put\x00\x00\x00\x06delete\x00\x00\x00\x05trace" +
	"\x00\x00\x00\x06accept\x00\x00\x00\x0eaccept-charset" +
	"\x00\x00\x00\x0faccept-encoding\x00\x00\x00\x0faccept-language" +
	"\x00\x00\x00\x0daccept-ranges\x00\x00\x00\x03age\x00\x00\x00\x05allow" +
	"\x00\x00\x00\x0dauthorization\x00\x00\x00\x0dcache-control" +
	"\x00\x00\x00\x0aconnection\x00\x00\x00\x0ccontent-base" +
	"\x00\x00\x00\x10content-encoding\x00\x00\x00\x10content-language" +
	"\x00\x00\x00\x0econtent-length\x00\x00\x00\x10content-location" +
	"\x00\x00\x00\x0bcontent-md5\x00\x00\x00\x0dcontent-range" +
	"\x00\x00\x00\x0ccontent-type\x00\x00\x00\x04date\x00\x00\x00\x04etag" +
	"\x00\x00\x00\x06expect\x00\x00\x00\x07expires\x00\x00\x00\x04from" +
	"\x00\x00\x00\x04host\x00\x00\x00\x08if-match" +
	"\x00\x00\x00\x11if-modified-since\x00\x00\x00\x0dif-none-match" +
	"\x00\x00\x00\x08if-range\x00\x00\x00\x13if-unmodified-since" +
	"\x00\x00\x00\x0dlast-modified\x00\x00\x00\x08location" +
	"\x00\x00\x00\x0cmax-forwards\x00\x00\x00\x06pragma" +
	"\x00\x00\x00\x12proxy-authenticate\x00\x00\x00\x13proxy-authorization" +
	"\x00\x00\x00\x05range\x00\x00\x00\x07referer\x00\x00\x00\x0bretry-after" +
	"\x00\x00\x00\x06server\x00\x00\x00\x02te\x00\x00\x00\x07trailer" +
	"\x00\x00\x00\x11transfer-encoding\x00\x00\x00\x07upgrade" +
	"\x00\x00\x00\x0auser-agent\x00\x00\x00\x04vary\x00\x00\x00\x03via" +
	"\x00\x00\x00\x07warning\x00\x00\x00\x10www-authenticate" +
	"\x00\x00\x00\x06method\x00\x00\x00\x03get\x00\x00\x00\x06status" +
	"\x00\x00\x00\x06200 OK\x00\x00\x00\x07version\x00\x00\x00\x08HTTP/1.1" +
	"\x00\x00\x00\x03url\x00\x00\x00\x06public\x00\x00\x00\x0aset-cookie" +
	"\x00\x00\x00\x0akeep-alive\x00\x00\x00\x06origin" +
	"100101201202205206300302303304305" +
	"306307402405406407408409" +
	"410411412413414415416417502504505" +
	"203 Non-Authoritative Information204 No Content" +
	"301 Moved Permanently400 Bad Request" +
	"401 Unauthorized403 Forbidden" +
	"404 Not Found500 Internal Server Error" +
	"501 Not Implemented503 Service Unavailable" +
	"Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 " +
	"Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT" +
	"chunked,text/html,image/png,image/jpg,image/gif," +
	"application/xml,application/xhtml+xml," +
	"text/plain,text/javascript," +
	"publicprivate" +
	"max-age=gzip,deflate,sdch" +
	"charset=utf-8charset=iso-8859-1," +
	"utf-,*,enq=0."

// The Adler-32 checksums that identify a dictionary on the wire (DICTID, RFC 1950 §2.2).
const (
	dictionaryIDSPDY2 = 0xdfa251b2
	dictionaryIDSPDY3 = 0xe3c6a7c2

	// dictionaryIDNoNUL is announced by peers that omit the NUL byte at the end of the SPDY/2
	// dictionary.
	dictionaryIDNoNUL = 0x8df051b2
)

// dictionary returns the dictionary of header compression.
func (v Version) dictionary() string {
	if v == SPDY2 {
		return dictionarySPDY2
	}
	return dictionarySPDY3
}

// dictionaryBytes returns the dictionary as bytes, which must not be changed.
func (v Version) dictionaryBytes() []byte {
	if v == SPDY2 {
		return dictionaryBytesSPDY2
	}
	return dictionaryBytesSPDY3
}

var (
	dictionaryBytesSPDY2 = []byte(dictionarySPDY2)
	dictionaryBytesSPDY3 = []byte(dictionarySPDY3)
)

// dictionaryID returns the Adler-32 checksum of the dictionary.
func (v Version) dictionaryID() uint32 {
	if v == SPDY2 {
		return dictionaryIDSPDY2
	}
	return dictionaryIDSPDY3
}
