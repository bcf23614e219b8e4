import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.DefaultHttpRequest;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.QueryStringDecoder;
import io.netty.handler.codec.spdy.SpdyHttpHeaders;
import io.netty.handler.codec.spdy.SpdyStreamStatus;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import java.io.File;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/**
 * Netty as a SPDY/3.1 server: java Server [CERT KEY]. It prints "READY port" and
 * ends with its standard input.
 */
public final class Server extends SimpleChannelInboundHandler<FullHttpRequest> {
    private static final String STREAM = SpdyHttpHeaders.Names.STREAM_ID.toString();

    private final Frames frames;
    private final List<Integer> waiting = new ArrayList<>();
    private int nextPush = 2;

    private Server(Frames frames) {
        this.frames = frames;
    }

    public static void main(String[] args) throws Exception {
        SslContext tls = args.length < 2 ? null
            : SslContextBuilder.forServer(new File(args[0]), new File(args[1])).sslProvider(SslProvider.JDK).build();
        Channel listener = new ServerBootstrap()
            .group(new NioEventLoopGroup(1), new NioEventLoopGroup(1))
            .channel(NioServerSocketChannel.class)
            .childHandler(new ChannelInitializer<SocketChannel>() {
                @Override
                protected void initChannel(SocketChannel ch) {
                    Frames frames = new Frames();
                    Pipeline.build(ch, tls, true, frames);
                    ch.pipeline().addLast("http", new Server(frames));
                }
            })
            .bind("127.0.0.1", 0).sync().channel();
        System.out.println("READY " + ((InetSocketAddress) listener.localAddress()).getPort());
        while (System.in.read() >= 0) { }
        System.exit(0);
    }

    @Override
    protected void channelRead0(ChannelHandlerContext ctx, FullHttpRequest request) {
        int stream = request.headers().getInt(STREAM);
        QueryStringDecoder query = new QueryStringDecoder(request.uri());
        switch (query.path()) {
            case "/get":
                get(ctx, stream, request);
                break;
            case "/echo":
                answer(ctx, response(stream, HttpResponseStatus.OK, request.content().retain()));
                break;
            case "/gather":
                gather(ctx, stream, Integer.parseInt(query.parameters().get("n").get(0)));
                break;
            case "/headers": {
                FullHttpResponse r = response(stream, HttpResponseStatus.OK, text("headers\n"));
                r.headers().set("x-big", request.headers().get("x-big"));
                answer(ctx, r);
                break;
            }
            case "/trailers":
                trailers(ctx, stream);
                break;
            case "/big":
                answer(ctx, response(stream, HttpResponseStatus.OK, Unpooled.wrappedBuffer(Content.pattern(Content.WINDOW_BODY))));
                break;
            case "/push":
                push(ctx, stream);
                break;
            case "/ping":
                frames.onPing = () -> answer(ctx, response(stream, HttpResponseStatus.OK, text("pong\n")));
                frames.ping(2);
                break;
            case "/endless":
                endless(ctx, stream);
                break;
            case "/cut":
                frames.reply(stream);
                frames.data(stream, Content.pattern(Content.CUT_BODY), false);
                later(ctx, 50, () -> frames.reset(stream, SpdyStreamStatus.INTERNAL_ERROR));
                break;
            case "/drip":
                frames.reply(stream);
                frames.data(stream, "first ", false);
                later(ctx, 150, () -> frames.data(stream, "last\n", true));
                break;
            case "/goaway":
                frames.reply(stream);
                frames.data(stream, "bye ", false);
                later(ctx, 150, () -> frames.data(stream, "now\n", true));
                frames.ctx.close(); // which the session turns into GOAWAY, and waits for open streams
                break;
            default:
                answer(ctx, response(stream, HttpResponseStatus.NOT_FOUND, text("not found\n")));
        }
    }

    private void get(ChannelHandlerContext ctx, int stream, HttpRequest request) {
        ByteBuf body = request.method().equals(HttpMethod.HEAD) ? Unpooled.EMPTY_BUFFER : text("hello from Netty\n");
        FullHttpResponse r = response(stream, HttpResponseStatus.OK, body);
        r.headers().set("x-saw", request.method() + " " + request.uri());
        r.headers().add(HttpHeaderNames.SET_COOKIE, "a=1");
        r.headers().add(HttpHeaderNames.SET_COOKIE, "b=2");
        answer(ctx, r);
    }

    private void gather(ChannelHandlerContext ctx, int stream, int n) {
        waiting.add(stream);
        if (waiting.size() < n) {
            return;
        }
        for (int s : waiting) {
            answer(ctx, response(s, HttpResponseStatus.OK, Unpooled.wrappedBuffer(Content.pattern(Content.SMALL_BODY))));
        }
        waiting.clear();
    }

    private void trailers(ChannelHandlerContext ctx, int stream) {
        FullHttpResponse r = response(stream, HttpResponseStatus.OK, text("body\n"));
        r.trailingHeaders().set("x-checksum", "deadbeef");
        answer(ctx, r);
    }

    private void push(ChannelHandlerContext ctx, int stream) {
        HttpRequest pushed = new DefaultHttpRequest(HttpVersion.HTTP_1_1, HttpMethod.GET, "/pushed");
        pushed.headers().setInt(STREAM, nextPush);
        pushed.headers().setInt(SpdyHttpHeaders.Names.ASSOCIATED_TO_STREAM_ID, stream);
        pushed.headers().set(SpdyHttpHeaders.Names.SCHEME, ctx.pipeline().get("tls") == null ? "http" : "https");
        pushed.headers().set(HttpHeaderNames.HOST, "127.0.0.1:" + ((InetSocketAddress) ctx.channel().localAddress()).getPort());
        ctx.write(pushed);
        FullHttpResponse r = response(nextPush, HttpResponseStatus.OK, text("pushed\n"));
        r.headers().set("x-pushed", "yes");
        ctx.write(r);
        nextPush += 2;
        answer(ctx, response(stream, HttpResponseStatus.OK, text("page\n")));
    }

    private void endless(ChannelHandlerContext ctx, int stream) {
        frames.reply(stream);
        byte[] chunk = Content.pattern(4096);
        ScheduledFuture<?> writes = ctx.executor().scheduleAtFixedRate(() -> frames.data(stream, chunk, false), 0, 5, TimeUnit.MILLISECONDS);
        frames.onReset = (id, status) -> {
            if (id == stream) {
                writes.cancel(false);
            }
        };
        ctx.channel().closeFuture().addListener(f -> writes.cancel(false));
    }

    private static FullHttpResponse response(int stream, HttpResponseStatus status, ByteBuf body) {
        FullHttpResponse r = new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, status, body);
        r.headers().setInt(STREAM, stream);
        return r;
    }

    private static void answer(ChannelHandlerContext ctx, FullHttpResponse r) {
        ctx.writeAndFlush(r).addListener(f -> {
            if (!f.isSuccess()) {
                System.out.println("answer: " + f.cause());
            }
        });
    }

    private static void later(ChannelHandlerContext ctx, int milliseconds, Runnable what) {
        ctx.executor().schedule(what, milliseconds, TimeUnit.MILLISECONDS);
    }

    private static ByteBuf text(String s) {
        return Unpooled.copiedBuffer(s, StandardCharsets.UTF_8);
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        System.out.println("exception: " + cause);
        ctx.close();
    }
}
