{{/* The routines of the relational schema. Functions that write say "reads sql data", since a server with a binary log takes no others. */}}

{{define "text"}}character set utf8mb4{{end}}

{{define "v2-routines"}}
create function INSERT_IP_PACKET_FULL(_oob_time_sec int unsigned, _oob_time_usec int unsigned, _oob_hook tinyint unsigned,
  _oob_prefix varchar(128) {{template "text"}}, _oob_mark int unsigned, _oob_in varchar(32) {{template "text"}}, _oob_out varchar(32) {{template "text"}},
  _oob_family tinyint unsigned, _ip_saddr binary(16), _ip_daddr binary(16), _ip_protocol tinyint unsigned, _ip_tos tinyint unsigned,
  _ip_ttl tinyint unsigned, _ip_totlen smallint unsigned, _ip_ihl tinyint unsigned, _ip_csum smallint unsigned, _ip_id smallint unsigned,
  _ip_fragoff smallint unsigned, _ip6_payloadlen smallint unsigned, _ip6_priority tinyint unsigned, _ip6_hoplimit tinyint unsigned,
  _ip6_flowlabel int, _ip6_fragoff smallint unsigned, _ip6_fragid int unsigned, _label tinyint unsigned)
returns bigint unsigned
reads sql data sql security invoker
begin
  insert into ulog2 (oob_time_sec, oob_time_usec, oob_hook, oob_prefix, oob_mark, oob_in, oob_out, oob_family, ip_saddr, ip_daddr,
    ip_protocol, ip_tos, ip_ttl, ip_totlen, ip_ihl, ip_csum, ip_id, ip_fragoff,
    ip6_payloadlen, ip6_priority, ip6_hoplimit, ip6_flowlabel, ip6_fragoff, ip6_fragid, label)
  values (_oob_time_sec, _oob_time_usec, _oob_hook, _oob_prefix, _oob_mark, _oob_in, _oob_out, _oob_family, _ip_saddr, _ip_daddr,
    _ip_protocol, _ip_tos, _ip_ttl, _ip_totlen, _ip_ihl, _ip_csum, _ip_id, _ip_fragoff,
    _ip6_payloadlen, _ip6_priority, _ip6_hoplimit, _ip6_flowlabel, _ip6_fragoff, _ip6_fragid, _label);
  return last_insert_id();
end;

create function INSERT_IP_PACKET(_oob_time_sec int unsigned, _oob_time_usec int unsigned, _oob_hook tinyint unsigned,
  _oob_prefix varchar(128) {{template "text"}}, _oob_mark int unsigned, _oob_in varchar(32) {{template "text"}}, _oob_out varchar(32) {{template "text"}},
  _oob_family tinyint unsigned, _ip_saddr binary(16), _ip_daddr binary(16), _ip_protocol tinyint unsigned)
returns bigint unsigned
reads sql data sql security invoker
begin
  insert into ulog2 (oob_time_sec, oob_time_usec, oob_hook, oob_prefix, oob_mark, oob_in, oob_out, oob_family, ip_saddr, ip_daddr, ip_protocol)
  values (_oob_time_sec, _oob_time_usec, _oob_hook, _oob_prefix, _oob_mark, _oob_in, _oob_out, _oob_family, _ip_saddr, _ip_daddr, _ip_protocol);
  return last_insert_id();
end;

create procedure PACKET_ADD_TCP_FULL(id bigint unsigned, _sport int unsigned, _dport int unsigned, _seq int unsigned, _ackseq int unsigned,
  _window int unsigned, _urg tinyint, _urgp int unsigned, _ack tinyint, _psh tinyint, _rst tinyint, _syn tinyint, _fin tinyint)
reads sql data
insert into tcp (_tcp_id, tcp_sport, tcp_dport, tcp_seq, tcp_ackseq, tcp_window, tcp_urg, tcp_urgp, tcp_ack, tcp_psh, tcp_rst, tcp_syn, tcp_fin)
values (id, _sport, _dport, _seq, _ackseq, _window, _urg, _urgp, _ack, _psh, _rst, _syn, _fin);

create procedure PACKET_ADD_TCP(id bigint unsigned, _sport int unsigned, _dport int unsigned)
reads sql data
insert into tcp (_tcp_id, tcp_sport, tcp_dport) values (id, _sport, _dport);

create procedure PACKET_ADD_UDP(id bigint unsigned, _sport int unsigned, _dport int unsigned, _len int unsigned)
reads sql data
insert into udp (_udp_id, udp_sport, udp_dport, udp_len) values (id, _sport, _dport, _len);

create procedure PACKET_ADD_SCTP(id bigint unsigned, _sport int unsigned, _dport int unsigned, _csum int unsigned)
reads sql data
insert into sctp (_sctp_id, sctp_sport, sctp_dport, sctp_csum) values (id, _sport, _dport, _csum);

create procedure PACKET_ADD_ICMP(id bigint unsigned, _icmp_type tinyint unsigned, _icmp_code tinyint unsigned, _icmp_echoid smallint unsigned,
  _icmp_echoseq smallint unsigned, _icmp_gateway int unsigned, _icmp_fragmtu smallint unsigned)
reads sql data
insert into icmp (_icmp_id, icmp_type, icmp_code, icmp_echoid, icmp_echoseq, icmp_gateway, icmp_fragmtu)
values (id, _icmp_type, _icmp_code, _icmp_echoid, _icmp_echoseq, _icmp_gateway, _icmp_fragmtu);

create procedure PACKET_ADD_ICMPV6(id bigint unsigned, _icmpv6_type tinyint unsigned, _icmpv6_code tinyint unsigned, _icmpv6_echoid smallint unsigned,
  _icmpv6_echoseq smallint unsigned, _icmpv6_csum int unsigned)
reads sql data
insert into icmpv6 (_icmpv6_id, icmpv6_type, icmpv6_code, icmpv6_echoid, icmpv6_echoseq, icmpv6_csum)
values (id, _icmpv6_type, _icmpv6_code, _icmpv6_echoid, _icmpv6_echoseq, _icmpv6_csum);

create procedure PACKET_ADD_HARDWARE_HEADER(id bigint unsigned, _hw_type int unsigned, _hw_addr varchar(256) {{template "text"}})
reads sql data
insert into hwhdr (_hw_id, raw_type, raw_header) values (id, _hw_type, _hw_addr);

-- The second look sees what others have committed in between.
create function INSERT_OR_SELECT_MAC(_saddr varchar(32) {{template "text"}}, _daddr varchar(32) {{template "text"}}, _protocol smallint unsigned)
returns bigint unsigned
reads sql data
begin
  declare found bigint unsigned default null;
  select min(_mac_id) into found from mac where mac_saddr <=> _saddr and mac_daddr <=> _daddr and mac_protocol <=> _protocol lock in share mode;
  if found is null then
    insert ignore into mac (mac_saddr, mac_daddr, mac_protocol) values (_saddr, _daddr, _protocol);
    select min(_mac_id) into found from mac where mac_saddr <=> _saddr and mac_daddr <=> _daddr and mac_protocol <=> _protocol lock in share mode;
  end if;
  return found;
end;

create function INSERT_PACKET_FULL(_oob_time_sec int unsigned, _oob_time_usec int unsigned, _oob_hook tinyint unsigned,
  _oob_prefix varchar(128) {{template "text"}}, _oob_mark int unsigned, _oob_in varchar(32) {{template "text"}}, _oob_out varchar(32) {{template "text"}},
  _oob_family tinyint unsigned, _ip_saddr binary(16), _ip_daddr binary(16), _ip_protocol tinyint unsigned, _ip_tos tinyint unsigned,
  _ip_ttl tinyint unsigned, _ip_totlen smallint unsigned, _ip_ihl tinyint unsigned, _ip_csum smallint unsigned, _ip_id smallint unsigned,
  _ip_fragoff smallint unsigned, _ip6_payloadlen smallint unsigned, _ip6_priority tinyint unsigned, _ip6_hoplimit tinyint unsigned,
  _ip6_flowlabel int, _ip6_fragoff smallint unsigned, _ip6_fragid int unsigned,
  tcp_sport smallint unsigned, tcp_dport smallint unsigned, tcp_seq int unsigned, tcp_ackseq int unsigned, tcp_window smallint unsigned,
  tcp_urg tinyint, tcp_urgp smallint unsigned, tcp_ack tinyint, tcp_psh tinyint, tcp_rst tinyint, tcp_syn tinyint, tcp_fin tinyint,
  udp_sport smallint unsigned, udp_dport smallint unsigned, udp_len smallint unsigned,
  icmp_type tinyint unsigned, icmp_code tinyint unsigned, icmp_echoid smallint unsigned, icmp_echoseq smallint unsigned,
  icmp_gateway int unsigned, icmp_fragmtu smallint unsigned,
  icmpv6_type tinyint unsigned, icmpv6_code tinyint unsigned, icmpv6_echoid smallint unsigned, icmpv6_echoseq smallint unsigned, icmpv6_csum int unsigned,
  raw_type int, raw_header varchar(256) {{template "text"}}, mac_saddr varchar(32) {{template "text"}}, mac_daddr varchar(32) {{template "text"}},
  mac_protocol smallint unsigned, _label tinyint unsigned,
  sctp_sport smallint unsigned, sctp_dport smallint unsigned, sctp_csum int unsigned)
returns bigint unsigned
reads sql data sql security invoker
begin
  declare packet, address bigint unsigned default null;
  if raw_type = 1 and mac_saddr is not null then
    set address = INSERT_OR_SELECT_MAC(mac_saddr, mac_daddr, mac_protocol);
  end if;
  insert into ulog2 (oob_time_sec, oob_time_usec, oob_hook, oob_prefix, oob_mark, oob_in, oob_out, oob_family, ip_saddr, ip_daddr,
    ip_protocol, ip_tos, ip_ttl, ip_totlen, ip_ihl, ip_csum, ip_id, ip_fragoff,
    ip6_payloadlen, ip6_priority, ip6_hoplimit, ip6_flowlabel, ip6_fragoff, ip6_fragid, label, mac_id)
  values (_oob_time_sec, _oob_time_usec, _oob_hook, _oob_prefix, _oob_mark, _oob_in, _oob_out, _oob_family, _ip_saddr, _ip_daddr,
    _ip_protocol, _ip_tos, _ip_ttl, _ip_totlen, _ip_ihl, _ip_csum, _ip_id, _ip_fragoff,
    _ip6_payloadlen, _ip6_priority, _ip6_hoplimit, _ip6_flowlabel, _ip6_fragoff, _ip6_fragid, _label, address);
  set packet = last_insert_id();
  case _ip_protocol
    when 6 then call PACKET_ADD_TCP_FULL(packet, tcp_sport, tcp_dport, tcp_seq, tcp_ackseq, tcp_window, tcp_urg, tcp_urgp, tcp_ack, tcp_psh, tcp_rst, tcp_syn, tcp_fin);
    when 17 then call PACKET_ADD_UDP(packet, udp_sport, udp_dport, udp_len);
    when 132 then call PACKET_ADD_SCTP(packet, sctp_sport, sctp_dport, sctp_csum);
    when 1 then call PACKET_ADD_ICMP(packet, icmp_type, icmp_code, icmp_echoid, icmp_echoseq, icmp_gateway, icmp_fragmtu);
    when 58 then call PACKET_ADD_ICMPV6(packet, icmpv6_type, icmpv6_code, icmpv6_echoid, icmpv6_echoseq, icmpv6_csum);
    else begin end;
  end case;
  if not raw_type <=> 1 and coalesce(raw_type, raw_header) is not null then
    call PACKET_ADD_HARDWARE_HEADER(packet, raw_type, raw_header);
  end if;
  return packet;
end;

create procedure DELETE_PACKET(_packet_id bigint unsigned)
modifies sql data sql security invoker
begin
  delete from tcp where _tcp_id = _packet_id;
  delete from udp where _udp_id = _packet_id;
  delete from sctp where _sctp_id = _packet_id;
  delete from icmp where _icmp_id = _packet_id;
  delete from icmpv6 where _icmpv6_id = _packet_id;
  delete from hwhdr where _hw_id = _packet_id;
  delete from nufw where _nufw_id = _packet_id;
  delete from state_t where _state_id = _packet_id;
  delete from ulog2 where ulog2._id = _packet_id;
end;

create procedure DELETE_CUSTOM_ONE(tname varchar(64) {{template "text"}}, tjoin varchar(64) {{template "text"}}, _id bigint unsigned)
modifies sql data sql security invoker
begin
  set @ulogd_statement = concat('delete from `', replace(tname, '`', '``'), '` where `', replace(tjoin, '`', '``'), '` = ', _id);
  prepare ulogd_statement from @ulogd_statement;
  execute ulogd_statement;
  deallocate prepare ulogd_statement;
end;

create procedure DELETE_PACKET_FULL(_packet_id bigint unsigned)
modifies sql data sql security invoker
begin
  declare done boolean default false;
  declare tname, tjoin varchar(64) {{template "text"}};
  declare side cursor for select table_name, join_name from _extensions;
  declare continue handler for not found set done = true;
  open side;
  sides: loop
    fetch side into tname, tjoin;
    if done then
      leave sides;
    end if;
    call DELETE_CUSTOM_ONE(tname, tjoin, _packet_id);
  end loop;
  close side;
  call DELETE_PACKET(_packet_id);
end;

-- Removes what belongs to no packet, and packets that lack what belongs to them.
create procedure COMPRESS_TABLES()
modifies sql data sql security invoker
begin
  delete nufw from nufw left join ulog2 on ulog2._id = nufw._nufw_id where ulog2._id is null;
  delete state_t from state_t left join ulog2 on ulog2._id = state_t._state_id where ulog2._id is null;
  delete hwhdr from hwhdr left join ulog2 on ulog2._id = hwhdr._hw_id where ulog2._id is null;
  delete tcp from tcp left join ulog2 on ulog2._id = tcp._tcp_id and ulog2.ip_protocol = 6 where ulog2._id is null;
  delete udp from udp left join ulog2 on ulog2._id = udp._udp_id and ulog2.ip_protocol = 17 where ulog2._id is null;
  delete sctp from sctp left join ulog2 on ulog2._id = sctp._sctp_id and ulog2.ip_protocol = 132 where ulog2._id is null;
  delete icmp from icmp left join ulog2 on ulog2._id = icmp._icmp_id and ulog2.ip_protocol = 1 where ulog2._id is null;
  delete icmpv6 from icmpv6 left join ulog2 on ulog2._id = icmpv6._icmpv6_id and ulog2.ip_protocol = 58 where ulog2._id is null;
  create temporary table ulogd_incomplete (primary key (_id)) select ulog2._id from ulog2
    left join tcp on ulog2._id = tcp._tcp_id left join udp on ulog2._id = udp._udp_id left join sctp on ulog2._id = sctp._sctp_id
    left join icmp on ulog2._id = icmp._icmp_id left join icmpv6 on ulog2._id = icmpv6._icmpv6_id
    where ulog2.ip_protocol in (6, 17, 132, 1, 58) and coalesce(_tcp_id, _udp_id, _sctp_id, _icmp_id, _icmpv6_id) is null;
  delete nufw from nufw join ulogd_incomplete i on i._id = nufw._nufw_id;
  delete state_t from state_t join ulogd_incomplete i on i._id = state_t._state_id;
  delete hwhdr from hwhdr join ulogd_incomplete i on i._id = hwhdr._hw_id;
  delete ulog2 from ulog2 join ulogd_incomplete i on i._id = ulog2._id;
  drop temporary table ulogd_incomplete;
  delete mac from mac left join ulog2 on ulog2.mac_id = mac._mac_id where ulog2._id is null;
  optimize table ulog2, mac, hwhdr, tcp, udp, sctp, icmp, icmpv6;
end;

create procedure ANALYZE_TABLES()
modifies sql data sql security invoker
analyze table ulog2, mac, hwhdr, tcp, udp, sctp, icmp, icmpv6;

create procedure ULOG2_ADD_FOREIGN_KEYS()
modifies sql data sql security invoker
begin
{{- if .Daily}}
  signal sqlstate '45000' set message_text = 'ulog2 has partitions, which leaves no room for foreign keys';
{{- else}}
  alter table tcp add constraint _tcp_id foreign key (_tcp_id) references ulog2 (_id);
  alter table udp add constraint _udp_id foreign key (_udp_id) references ulog2 (_id);
  alter table sctp add constraint _sctp_id foreign key (_sctp_id) references ulog2 (_id);
  alter table icmp add constraint _icmp_id foreign key (_icmp_id) references ulog2 (_id);
  alter table icmpv6 add constraint _icmpv6_id foreign key (_icmpv6_id) references ulog2 (_id);
{{- end}}
end;

create procedure ULOG2_DROP_FOREIGN_KEYS()
modifies sql data sql security invoker
begin
{{- if .Daily}}
  signal sqlstate '45000' set message_text = 'ulog2 has partitions, which leaves no room for foreign keys';
{{- else}}
  alter table tcp drop foreign key _tcp_id;
  alter table udp drop foreign key _udp_id;
  alter table sctp drop foreign key _sctp_id;
  alter table icmp drop foreign key _icmp_id;
  alter table icmpv6 drop foreign key _icmpv6_id;
{{- end}}
end;
{{end}}
