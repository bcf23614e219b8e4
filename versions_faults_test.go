package spdy

import (
	"maps"
	"testing"
)

// TestInOtherVersions runs tests that were written for SPDY/3.1 in the other versions
// too: the same handlers, bodies and faults.
func TestInOtherVersions(t *testing.T) {
	tests := map[string]func(t *testing.T){
		"Bodies":                  TestBodies,
		"WriteSizes":              TestWriteSizes,
		"CutByTheConnection":      TestCutByTheConnection,
		"CutHere":                 TestCutHere,
		"CutByRstStream":          TestCutByRstStream,
		"CutByGoAway":             TestCutByGoAway,
		"GoAwayLosesNothing":      TestGoAwayLosesNothing,
		"CutByOtherReaders":       TestCutByOtherReaders,
		"CutProxiedToSPDY":        TestCutProxiedToSPDY,
		"SlowHandler":             TestSlowHandler,
		"SlowBodies":              TestSlowBodies,
		"WriteInOneCall":          TestWriteInOneCall,
		"ResetDuringDo":           TestResetDuringDo,
		"ConnLostDuringDo":        TestConnLostDuringDo,
		"UploadHashed":            TestUploadHashed,
		"PanickingHandler":        TestPanickingHandler,
		"CallsAfterTheEnd":        TestCallsAfterTheEnd,
		"DoReturnsWithTheHeaders": TestDoReturnsWithTheHeaders,
		"FullDuplex":              TestFullDuplex,
		"ManyAtOnce":              TestManyAtOnce,
		"CloseFromHandlers":       TestCloseFromHandlers,
		"GracefulShutdown":        TestGracefulShutdown,
		"WrongLengthOfUploads":    TestWrongLengthOfUploads,
		"UploadIsClosed":          TestUploadIsClosed,
		"CloseBody":               TestCloseBody,
		"HandlerContext":          TestHandlerContext,
		"RequestNeverChanged":     TestRequestNeverChanged,
		"ProxyCancels":            TestProxyCancels,
		"ProxyWriterFails":        TestProxyWriterFails,
		"FaultSweep":              TestFaultSweep,
		"LentBytesStay":           TestLentBytesStay,
	}
	windows := map[string]func(t *testing.T){ // or trailers, which SPDY/2 has not either (SPEC R12)
		"ProxyBodies":          TestProxyBodies,
		"ProxyStreams":         TestProxyStreams,
		"UnreadUpload":         TestUnreadUpload,
		"UnreadRequestBody":    TestUnreadRequestBody,
		"ResetsKeepTheWindows": TestResetsKeepTheWindows,
	}
	for _, v := range []Version{SPDY2, SPDY3} {
		if v.streamFlowControl() {
			maps.Copy(tests, windows)
		}
		t.Run(versionElement(v), func(t *testing.T) {
			for name, f := range tests {
				t.Run(name, f)
			}
		})
	}
}
