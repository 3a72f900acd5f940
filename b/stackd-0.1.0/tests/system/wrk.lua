-- SPDX-License-Identifier: BSD-3-Clause
-- What wrk counted, as one line of JSON, for the tests to compare with what stackd counted.
done = function(summary, latency, requests)
	local e = summary.errors
	print(string.format('{"requests":%d,"bytes":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,' ..
		'"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}',
		summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
		e.connect, e.read, e.write, e.status, e.timeout))
end
