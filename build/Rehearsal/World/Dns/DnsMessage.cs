using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Text;

namespace Rehearsal.World;

internal enum DnsType : ushort
{
    A = 1,
    NS = 2,
    CNAME = 5,
    SOA = 6,
    PTR = 12,
    MX = 15,
    TXT = 16,
    AAAA = 28,
    SRV = 33,
    OPT = 41,
    ANY = 255,
    CAA = 257,
}

internal enum DnsCode : byte
{
    NoError = 0,
    FormatError = 1,
    NameError = 3,
    NotImplemented = 4,
    Refused = 5,
    BadVersion = 16,
}

/// <summary>
/// One question, and how large an answer the asker takes over UDP (RFC 1035 section 4.1, RFC 6891). With <c>Edns</c> the asker sent
/// an OPT record, so the answer carries one.
/// </summary>
internal sealed record DnsQuery(
    ushort Id,
    byte OperationCode,
    bool RecursionDesired,
    string Name,
    DnsType Type,
    ushort Class,
    bool Edns,
    byte EdnsVersion,
    int MaximumSize)
{
    private const int HeaderSize = 12;

    /// <summary>Null for what is no query or cannot be read.</summary>
    public static DnsQuery? Parse(ReadOnlySpan<byte> message)
    {
        if (message.Length < HeaderSize || (message[2] & 0x80) != 0 || BinaryPrimitives.ReadUInt16BigEndian(message[4..]) != 1)
        {
            return null;
        }

        var at = HeaderSize;
        if (ReadName(message, ref at) is not { } name || at + 4 > message.Length)
        {
            return null;
        }

        var type = (DnsType)BinaryPrimitives.ReadUInt16BigEndian(message[at..]);
        var @class = BinaryPrimitives.ReadUInt16BigEndian(message[(at + 2)..]);
        at += 4;
        var edns = false;
        byte version = 0;
        var size = 512;

        // The additional section of a query holds at most an OPT record, whose owner is the root (one zero byte).
        if (BinaryPrimitives.ReadUInt16BigEndian(message[10..]) > 0
            && at + 11 <= message.Length
            && message[at] == 0
            && BinaryPrimitives.ReadUInt16BigEndian(message[(at + 1)..]) == (ushort)DnsType.OPT)
        {
            edns = true;
            size = Math.Clamp((int)BinaryPrimitives.ReadUInt16BigEndian(message[(at + 3)..]), 512, 1232);
            version = message[at + 6];
        }

        return new DnsQuery(
            BinaryPrimitives.ReadUInt16BigEndian(message),
            (byte)((message[2] >> 3) & 0xF),
            (message[2] & 1) != 0,
            name,
            type,
            @class,
            edns,
            version,
            size);
    }

    // Questions are never compressed: there is nothing before them to point to.
    private static string? ReadName(ReadOnlySpan<byte> message, ref int at)
    {
        var name = new StringBuilder();
        while (at < message.Length)
        {
            int length = message[at++];
            if (length == 0)
            {
                return name.ToString();
            }

            if (length > 63 || at + length > message.Length || name.Length + length > 254)
            {
                return null;
            }

            if (name.Length > 0)
            {
                name.Append('.');
            }

            name.Append(Encoding.ASCII.GetString(message.Slice(at, length)));
            at += length;
        }

        return null;
    }
}

/// <summary>Writes one answer (RFC 1035 section 4), uncompressed but for the owner names that equal the question's.</summary>
internal sealed class DnsAnswer(DnsQuery query)
{
    private readonly ArrayBufferWriter<byte> _body = new();
    private int _answers;
    private int _authorities;

    public DnsCode Code { get; set; }

    public bool Authoritative { get; set; }

    public void Answer(string owner, DnsType type, int ttl, ReadOnlySpan<byte> data)
    {
        _answers++;
        Write(owner, type, ttl, data);
    }

    public void Authority(string owner, DnsType type, int ttl, ReadOnlySpan<byte> data)
    {
        _authorities++;
        Write(owner, type, ttl, data);
    }

    /// <summary>The message; when larger than <paramref name="maximum"/> only the question, with TC set.</summary>
    public byte[] ToBytes(int maximum)
    {
        var opt = query.Edns ? 11 : 0;
        var question = Name(query.Name);
        var truncated = 12 + question.Length + 4 + _body.WrittenCount + opt > maximum;
        var message = new ArrayBufferWriter<byte>();
        Write16(message, query.Id);
        Write8(
            message,
            (byte)(0x80 | (query.OperationCode << 3) | (Authoritative ? 4 : 0) | (truncated ? 2 : 0) | (query.RecursionDesired ? 1 : 0)));
        Write8(message, (byte)((byte)Code & 0xF));
        Write16(message, 1);
        Write16(message, (ushort)(truncated ? 0 : _answers));
        Write16(message, (ushort)(truncated ? 0 : _authorities));
        Write16(message, (ushort)(query.Edns ? 1 : 0));
        message.Write(question);
        Write16(message, (ushort)query.Type);
        Write16(message, query.Class);
        if (!truncated)
        {
            message.Write(_body.WrittenSpan);
        }

        if (query.Edns)
        {
            Write8(message, 0);
            Write16(message, (ushort)DnsType.OPT);
            Write16(message, 1232);
            Write8(message, (byte)((byte)Code >> 4));
            Write8(message, 0);
            Write16(message, 0);
            Write16(message, 0);
        }

        return message.WrittenSpan.ToArray();
    }

    public static byte[] Name(string name)
    {
        using var bytes = new MemoryStream();
        foreach (var label in name.TrimEnd('.').Split('.', StringSplitOptions.RemoveEmptyEntries))
        {
            bytes.WriteByte((byte)label.Length);
            bytes.Write(Encoding.ASCII.GetBytes(label));
        }

        bytes.WriteByte(0);
        return bytes.ToArray();
    }

    public static byte[] Text(string text)
    {
        using var bytes = new MemoryStream();
        foreach (var part in Encoding.UTF8.GetBytes(text).Chunk(255))
        {
            bytes.WriteByte((byte)part.Length);
            bytes.Write(part);
        }

        return bytes.ToArray();
    }

    public static byte[] MailExchange(int priority, string target)
    {
        return [(byte)(priority >> 8), (byte)priority, .. Name(target)];
    }

    public static byte[] StartOfAuthority(string server, string mailbox, uint serial, int minimum)
    {
        var numbers = new byte[20];
        uint[] values = [serial, 14400, 14400, 1209600, (uint)minimum];
        for (var i = 0; i < values.Length; i++)
        {
            BinaryPrimitives.WriteUInt32BigEndian(numbers.AsSpan(i * 4), values[i]);
        }

        return [.. Name(server), .. Name(mailbox), .. numbers];
    }

    public static byte[] Address(string address)
    {
        return IPAddress.Parse(address).GetAddressBytes();
    }

    private void Write(string owner, DnsType type, int ttl, ReadOnlySpan<byte> data)
    {
        if (owner.Equals(query.Name, StringComparison.OrdinalIgnoreCase))
        {
            // A pointer to the question's name, which always begins right after the header.
            Write16(_body, 0xC00C);
        }
        else
        {
            _body.Write(Name(owner));
        }

        Write16(_body, (ushort)type);
        Write16(_body, 1);
        Write16(_body, (ushort)(ttl >> 16));
        Write16(_body, (ushort)ttl);
        Write16(_body, (ushort)data.Length);
        _body.Write(data);
    }

    private static void Write16(ArrayBufferWriter<byte> writer, ushort value)
    {
        BinaryPrimitives.WriteUInt16BigEndian(writer.GetSpan(2), value);
        writer.Advance(2);
    }

    private static void Write8(ArrayBufferWriter<byte> writer, byte value)
    {
        writer.GetSpan(1)[0] = value;
        writer.Advance(1);
    }
}
