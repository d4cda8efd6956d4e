// The loopback interface as programs ask for it: netlink, getifaddrs, ioctl, /proc/net and /sys/class/net.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void tell(const char *what, long result) {
  printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "done");
}

static void list(void) {
  struct ifaddrs *all;
  tell("getifaddrs", getifaddrs(&all));
  for (struct ifaddrs *one = all; one; one = one->ifa_next) {
    if (strcmp(one->ifa_name, "lo") || !one->ifa_addr) continue;
    char text[64] = "", mask[64] = "";
    int family = one->ifa_addr->sa_family;
    if (family == AF_INET) {
      inet_ntop(family, &((struct sockaddr_in *)one->ifa_addr)->sin_addr, text, 64);
      inet_ntop(family, &((struct sockaddr_in *)one->ifa_netmask)->sin_addr, mask, 64);
    } else if (family == AF_INET6) {
      inet_ntop(family, &((struct sockaddr_in6 *)one->ifa_addr)->sin6_addr, text, 64);
      inet_ntop(family, &((struct sockaddr_in6 *)one->ifa_netmask)->sin6_addr, mask, 64);
    }
    printf("%s family %d flags %x %s %s\n", one->ifa_name, family, one->ifa_flags, text, mask);
  }
  freeifaddrs(all);
}

static void requests(void) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq one = {0};
  strcpy(one.ifr_name, "lo");
  tell("index", ioctl(fd, SIOCGIFINDEX, &one));
  printf("%d\n", one.ifr_ifindex);
  tell("flags", ioctl(fd, SIOCGIFFLAGS, &one));
  printf("%x\n", one.ifr_flags & 0xffff);
  tell("mtu", ioctl(fd, SIOCGIFMTU, &one));
  printf("%d\n", one.ifr_mtu);
  tell("address", ioctl(fd, SIOCGIFADDR, &one));
  printf("%s\n", inet_ntoa(((struct sockaddr_in *)&one.ifr_addr)->sin_addr));
  tell("netmask", ioctl(fd, SIOCGIFNETMASK, &one));
  printf("%s\n", inet_ntoa(((struct sockaddr_in *)&one.ifr_addr)->sin_addr));
  tell("hardware", ioctl(fd, SIOCGIFHWADDR, &one));
  printf("type %d\n", one.ifr_hwaddr.sa_family);
  strcpy(one.ifr_name, "none0");
  tell("no such", ioctl(fd, SIOCGIFFLAGS, &one));
  tell("name", (one.ifr_ifindex = 1, ioctl(fd, SIOCGIFNAME, &one)));
  printf("%s %d %d\n", one.ifr_name, if_nametoindex("lo"), if_nametoindex("none0"));
  close(fd);
}

static void netlink(void) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  struct sockaddr_nl own = {AF_NETLINK};
  socklen_t length = sizeof own;
  tell("bind", bind(fd, (struct sockaddr *)&own, sizeof own));
  getsockname(fd, (struct sockaddr *)&own, &length);
  printf("length %u family %d port %d\n", length, own.nl_family, own.nl_pid == getpid());
  struct {
    struct nlmsghdr head;
    struct ifinfomsg body;
  } ask = {{sizeof ask, RTM_GETLINK, NLM_F_REQUEST, 7, 0}, {.ifi_index = 1}};
  tell("ask", send(fd, &ask, sizeof ask, 0));
  char answer[8192];
  long count = recv(fd, answer, sizeof answer, 0);
  struct nlmsghdr *head = (struct nlmsghdr *)answer;
  struct ifinfomsg *link = NLMSG_DATA(head);
  printf("type %d flags %x sequence %d port %d whole %d\n", head->nlmsg_type, head->nlmsg_flags, head->nlmsg_seq,
         head->nlmsg_pid == getpid(), head->nlmsg_len <= count);
  printf("link type %d index %d flags %x\n", link->ifi_type, link->ifi_index, link->ifi_flags);
  int left = head->nlmsg_len - NLMSG_LENGTH(sizeof *link);
  for (struct rtattr *one = IFLA_RTA(link); RTA_OK(one, left); one = RTA_NEXT(one, left)) {
    if (one->rta_type == IFLA_IFNAME) printf("name %s\n", (char *)RTA_DATA(one));
    if (one->rta_type == IFLA_MTU) printf("mtu %d\n", *(int *)RTA_DATA(one));
  }
  ask.body.ifi_index = 77777;
  send(fd, &ask, sizeof ask, 0);
  recv(fd, answer, sizeof answer, 0);
  printf("type %d error %d\n", head->nlmsg_type, ((struct nlmsgerr *)NLMSG_DATA(head))->error);
  ask.head.nlmsg_type = RTM_GETADDR;
  ask.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  memset(&ask.body, 0, sizeof ask.body);
  ask.body.ifi_family = AF_INET;
  send(fd, &ask, sizeof ask, 0);
  for (int over = 0; !over;) {
    count = recv(fd, answer, sizeof answer, 0);
    for (head = (struct nlmsghdr *)answer; NLMSG_OK(head, count); head = NLMSG_NEXT(head, count)) {
      if (head->nlmsg_type == NLMSG_DONE) over = 1;
      struct ifaddrmsg *address = NLMSG_DATA(head);
      if (head->nlmsg_type == RTM_NEWADDR && address->ifa_index == 1)
        printf("address prefix %d scope %d flags %x\n", address->ifa_prefixlen, address->ifa_scope, address->ifa_flags);
    }
  }
  tell("nothing more", recv(fd, answer, sizeof answer, MSG_DONTWAIT));
  close(fd);
  tell("type", socket(AF_NETLINK, SOCK_STREAM, 0));
}

/** Rows of a table that name a port. */
static void rows(const char *path, int port) {
  char line[512], wanted[16];
  FILE *file = fopen(path, "r");
  sprintf(wanted, ":%04X ", port);
  while (fgets(line, sizeof line, file))
    if (strstr(line, wanted)) printf("%s%.50s\n", path, strchr(line, ':'));
  fclose(file);
}

static void shown(void) {
  char text[256] = {0};
  const char *files[] = {"address", "mtu", "ifindex", "type", "flags", "operstate"};
  for (int i = 0; i < 6; i++) {
    char path[64];
    sprintf(path, "/sys/class/net/lo/%s", files[i]);
    FILE *file = fopen(path, "r");
    if (fgets(text, sizeof text, file)) printf("%s %s", files[i], text);
    fclose(file);
  }
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in at = {AF_INET, htons(12399), {htonl(INADDR_LOOPBACK)}};
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  tell("bind", bind(fd, (struct sockaddr *)&at, sizeof at));
  listen(fd, 3);
  rows("/proc/net/tcp", 12399);
  rows("/proc/self/net/tcp", 12399);
  int datagrams = socket(AF_INET, SOCK_DGRAM, 0);
  bind(datagrams, (struct sockaddr *)&at, sizeof at);
  rows("/proc/net/udp", 12399);
  char line[512];
  FILE *file = fopen("/proc/net/if_inet6", "r");
  while (fgets(line, sizeof line, file))
    if (strstr(line, " lo")) printf("%s", line);
  file = fopen("/proc/net/dev", "r");
  fgets(line, sizeof line, file);
  printf("%s", line);
  file = fopen("/proc/net/route", "r");
  fgets(line, sizeof line, file);
  printf("%s", line);
}

int main(void) {
  list();
  requests();
  netlink();
  shown();
  return 0;
}
