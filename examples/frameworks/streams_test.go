package frameworks_test

import (
	"context"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"connectrpc.com/connect"
	"example.com/session/internal/suites/kit"
	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// number finds a count in a line of a stream, with or without elements around it.
var number = regexp.MustCompile(`\b\d+\b`)

func atoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// dial opens a WebSocket, sends three messages and reads three counts.
func dial(t *testing.T, b *kit.Browser) (counts []int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, b.URL+"/stream", &websocket.DialOptions{HTTPClient: b.Client})
	require.NoError(t, err)
	defer conn.CloseNow()
	for range 3 {
		require.NoError(t, conn.Write(ctx, websocket.MessageText, []byte("count")))
		_, text, err := conn.Read(ctx)
		require.NoError(t, err)
		counts = append(counts, atoi(t, string(text)))
	}
	return counts
}

// call reads the first three messages of a stream of Connect.
func call(t *testing.T, b *kit.Browser) (counts []int) {
	t.Helper()
	client := connect.NewClient[emptypb.Empty, wrapperspb.Int64Value](b.Client, b.URL+"/demo.Greeter/Count")
	request := connect.NewRequest(new(emptypb.Empty))
	request.Header().Set("Sec-Fetch-Dest", "empty") // as browsers do
	stream, err := client.CallServerStream(t.Context(), request)
	require.NoError(t, err)
	defer stream.Close()
	for len(counts) < 3 {
		require.True(t, stream.Receive(), "the stream ended after %v: %v", counts, stream.Err())
		counts = append(counts, int(stream.Msg().Value))
	}
	return counts
}

func TestWebSocketNeedsASignIn(t *testing.T) {
	for _, name := range []string{"gorilla", "coder"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, name).NewBrowser(t)
			_, response, err := websocket.Dial(t.Context(), b.URL+"/stream", &websocket.DialOptions{HTTPClient: b.Client})
			require.Error(t, err)
			assert.Equal(t, http.StatusUnauthorized, response.StatusCode)
		})
	}
}

// Connect and gRPC are two protocols of one handler.
func TestRemoteProcedureKnowsTheUser(t *testing.T) {
	for name, options := range map[string][]connect.ClientOption{"Connect": nil, "gRPC": {connect.WithGRPC()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, "connect").NewBrowser(t)
			if name == "gRPC" {
				transport := b.Client.Transport.(*http.Transport)
				transport.Protocols = new(http.Protocols)
				transport.Protocols.SetUnencryptedHTTP2(true)
			}
			client := connect.NewClient[emptypb.Empty, wrapperspb.StringValue](b.Client, b.URL+"/demo.Greeter/Greet", options...)
			_, err := client.CallUnary(t.Context(), connect.NewRequest(new(emptypb.Empty)))
			assert.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(err))
			signIn(b)
			response, err := client.CallUnary(t.Context(), connect.NewRequest(new(emptypb.Empty)))
			require.NoError(t, err)
			assert.Equal(t, "Hello ann.", response.Msg.Value)
		})
	}
}
