/* Gives a program that was written for netlink protocol 5, which kernels have lost, the
 * one for processes in its place, and takes their messages for the kernel's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/netlink.h>
#include <sys/socket.h>

int socket(int domain, int type, int protocol)
{
	int (*real)(int, int, int) = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");

	if (domain == AF_NETLINK && protocol == 5)
		protocol = NETLINK_USERSOCK;
	return real(domain, type, protocol);
}

ssize_t recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *size)
{
	ssize_t (*real)(int, void *, size_t, int, struct sockaddr *, socklen_t *) =
		(ssize_t (*)(int, void *, size_t, int, struct sockaddr *, socklen_t *))dlsym(RTLD_NEXT, "recvfrom");
	ssize_t n = real(fd, buf, len, flags, from, size);

	if (n >= 0 && from && from->sa_family == AF_NETLINK)
		((struct sockaddr_nl *)from)->nl_pid = 0;
	return n;
}
