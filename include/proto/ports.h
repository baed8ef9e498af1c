#ifndef PROTO_PORTS_H
#define PROTO_PORTS_H

/*
 * ports - vsock ports of the gateway, and names both sides use
 *
 * Guest to host.  A hybrid-vsock VMM maps port N to the Unix socket <uds>_N.
 */
#define PROTO_PORT_FRAMES	1024	/* Ethernet frames, see proto/hello.h */
#define PROTO_PORT_API		1025	/* HTTP */

#define PROTO_CID_HOST		2	/* VMADDR_CID_HOST */
#define PROTO_CID_GUEST		3	/* what a VMM gives when not told */

#define PROTO_HOST_ALIAS	"host.microsandbox.internal"

#define PROTO_IFACE		"eth0"
#define PROTO_MTU		1500
#define PROTO_MTU_MIN		68	/* RFC 791 */
#define PROTO_MTU_MIN6		1280	/* RFC 8200 5 */

#endif /* PROTO_PORTS_H */
