import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.spdy.DefaultSpdyDataFrame;
import io.netty.handler.codec.spdy.DefaultSpdyPingFrame;
import io.netty.handler.codec.spdy.DefaultSpdyRstStreamFrame;
import io.netty.handler.codec.spdy.DefaultSpdySynReplyFrame;
import io.netty.handler.codec.spdy.SpdyDataFrame;
import io.netty.handler.codec.spdy.SpdyGoAwayFrame;
import io.netty.handler.codec.spdy.SpdyHeaders.HttpNames;
import io.netty.handler.codec.spdy.SpdyPingFrame;
import io.netty.handler.codec.spdy.SpdyRstStreamFrame;
import io.netty.handler.codec.spdy.SpdyStreamStatus;
import io.netty.handler.codec.spdy.SpdySynReplyFrame;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletableFuture;
import java.util.function.BiConsumer;

/** Sees the frames that the session lets through, and sends frames. */
final class Frames extends ChannelInboundHandlerAdapter {
    volatile ChannelHandlerContext ctx;

    /** Called for DATA, with the stream and the number of bytes. */
    volatile BiConsumer<Integer, Integer> onData = (id, n) -> {};

    /** Called for RST_STREAM, with the stream and the status. */
    volatile BiConsumer<Integer, Integer> onReset = (id, status) -> {};

    /** Called for the echo of a PING of ours. */
    volatile Runnable onPing = () -> {};

    /** Completes when the peer says GOAWAY. */
    final CompletableFuture<Void> goAway = new CompletableFuture<>();

    @Override
    public void handlerAdded(ChannelHandlerContext c) {
        ctx = c;
    }

    @Override
    public void channelRead(ChannelHandlerContext c, Object frame) {
        if (frame instanceof SpdyDataFrame) {
            SpdyDataFrame data = (SpdyDataFrame) frame;
            onData.accept(data.streamId(), data.content().readableBytes());
        } else if (frame instanceof SpdyRstStreamFrame) {
            SpdyRstStreamFrame reset = (SpdyRstStreamFrame) frame;
            onReset.accept(reset.streamId(), reset.status().code());
        } else if (frame instanceof SpdyPingFrame) {
            onPing.run();
        } else if (frame instanceof SpdyGoAwayFrame) {
            goAway.complete(null);
        }
        c.fireChannelRead(frame);
    }

    void reply(int stream) {
        SpdySynReplyFrame f = new DefaultSpdySynReplyFrame(stream);
        f.headers().set(HttpNames.STATUS, "200 OK");
        f.headers().set(HttpNames.VERSION, "HTTP/1.1");
        ctx.writeAndFlush(f);
    }

    void data(int stream, byte[] bytes, boolean last) {
        ByteBuf content = Unpooled.wrappedBuffer(bytes);
        ctx.writeAndFlush(new DefaultSpdyDataFrame(stream, content).setLast(last));
    }

    void data(int stream, String text, boolean last) {
        data(stream, text.getBytes(StandardCharsets.UTF_8), last);
    }

    void reset(int stream, SpdyStreamStatus status) {
        ctx.writeAndFlush(new DefaultSpdyRstStreamFrame(stream, status));
    }

    void ping(int id) {
        ctx.writeAndFlush(new DefaultSpdyPingFrame(id));
    }
}
