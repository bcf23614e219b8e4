import io.netty.channel.ChannelPipeline;
import io.netty.channel.socket.SocketChannel;
import io.netty.handler.codec.spdy.SpdyFrameCodec;
import io.netty.handler.codec.spdy.SpdyHttpDecoder;
import io.netty.handler.codec.spdy.SpdyHttpEncoder;
import io.netty.handler.codec.spdy.SpdySessionHandler;
import io.netty.handler.codec.spdy.SpdyVersion;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslHandler;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLParameters;

/** Netty's SPDY stack: frames, session, and HTTP above it. */
final class Pipeline {
    static final SpdyVersion VERSION = SpdyVersion.SPDY_3_1;

    /** The largest message, which the HTTP layer gathers before it hands it on. */
    private static final int MAX_MESSAGE = 32 << 20;

    private Pipeline() {}

    /**
     * Builds the stack. Frames is a handler of ours between the session and HTTP: it
     * sees and sends the frames that HTTP knows nothing of.
     */
    static void build(SocketChannel ch, SslContext tls, boolean server, Frames frames) {
        ChannelPipeline p = ch.pipeline();
        if (tls != null) {
            SSLEngine engine = tls.newEngine(ch.alloc());
            // Debian's Netty comes without ALPN, the JDK's engine with it.
            SSLParameters parameters = engine.getSSLParameters();
            parameters.setApplicationProtocols(new String[] {"spdy/3.1"});
            engine.setSSLParameters(parameters);
            p.addLast("tls", new SslHandler(engine));
        }
        // chunks of 8 KiB, header blocks of up to 64 KiB, zlib's usual settings
        p.addLast("frame", new SpdyFrameCodec(VERSION, 8192, 65536, 6, 15, 8));
        p.addLast("session", new SpdySessionHandler(VERSION, server));
        p.addLast("frames", frames);
        p.addLast("encoder", new SpdyHttpEncoder(VERSION));
        p.addLast("decoder", new SpdyHttpDecoder(VERSION, MAX_MESSAGE));
    }
}
