// Package all registers every plugin.
package all

import (
	_ "github.com/ulogd-go/ulogd/plugins/filter/base"
	_ "github.com/ulogd-go/ulogd/plugins/filter/hwhdr"
	_ "github.com/ulogd-go/ulogd/plugins/filter/ifindex"
	_ "github.com/ulogd-go/ulogd/plugins/filter/ip2bin"
	_ "github.com/ulogd-go/ulogd/plugins/filter/ip2hbin"
	_ "github.com/ulogd-go/ulogd/plugins/filter/ip2str"
	_ "github.com/ulogd-go/ulogd/plugins/filter/mark"
	_ "github.com/ulogd-go/ulogd/plugins/filter/printpkt"
	_ "github.com/ulogd-go/ulogd/plugins/input/nflog"
	_ "github.com/ulogd-go/ulogd/plugins/input/replay"
	_ "github.com/ulogd-go/ulogd/plugins/output/gprint"
	_ "github.com/ulogd-go/ulogd/plugins/output/json"
	_ "github.com/ulogd-go/ulogd/plugins/output/logemu"
	_ "github.com/ulogd-go/ulogd/plugins/output/oprint"
	_ "github.com/ulogd-go/ulogd/plugins/output/pcap"
	_ "github.com/ulogd-go/ulogd/plugins/output/syslog"
	_ "github.com/ulogd-go/ulogd/plugins/output/xml"
)
